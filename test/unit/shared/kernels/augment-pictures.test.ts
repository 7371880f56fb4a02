import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PNG } from 'pngjs';
import { expect, test } from 'vitest';
import { augmentBounds, type Augment } from '../../../../shared/arithmetic/augment.ts';
import { loadDataset } from '../../../../shared/dataset/load-dataset.ts';
import { createKernels, surroundedBytes } from '../../../../shared/kernels/kernels.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const shown = fileURLToPath(new URL('../../../../docs/images/augmented.png', import.meta.url));
const amounts: Augment = { shift: 2, rotate: 10, zoom: 0.1 };
const EPOCHS = 3;
/** A pixel of a digit is a square of this side; GAP separates digits. */
const SCALE = 2;
const GAP = 8;

/** The first ten digits, 0 to 9: in the upper row as they are, below in each of three epochs. */
async function contactSheet(augment: Augment): Promise<PNG> {
  const { train, rows, columns } = await loadDataset(undefined);
  const kernels = createKernels(65_536);
  const surrounded = kernels.allocate(surroundedBytes(rows, columns));
  const at = kernels.allocate(rows * columns);
  const image = kernels.bytes(at, rows * columns);
  const [down, across] = [SCALE * rows + GAP, SCALE * columns + GAP];
  const sheet = new PNG({ width: 10 * across - GAP, height: (1 + EPOCHS) * down - GAP });
  sheet.data.fill(255);
  for (let digit = 0; digit < 10; digit++)
    for (let epoch = 0; epoch <= EPOCHS; epoch++) {
      const sample = train.labels.indexOf(digit);
      image.set(train.images.subarray(sample * rows * columns, (sample + 1) * rows * columns));
      const key = { seed: 1, epoch, sample };
      const bounds = augmentBounds(augment);
      if (epoch > 0) kernels.augment(at, { ...key, rows, columns, surrounded, bounds });
      for (let y = 0; y < SCALE * rows; y++)
        for (let x = 0; x < SCALE * columns; x++) {
          const ink = image[Math.floor(y / SCALE) * columns + Math.floor(x / SCALE)] ?? 0;
          const to = 4 * ((epoch * down + y) * sheet.width + digit * across + x);
          sheet.data.fill(255 - ink, to, to + 3);
        }
    }
  return sheet;
}

test('docs/images/augmented.png shows what the kernel draws', async () => {
  const sheet = await contactSheet(amounts);
  const drawn = join(temporaryFolder(), 'augmented.png');
  writeFileSync(drawn, PNG.sync.write(sheet, { colorType: 0 }));
  if (process.env['UPDATE_PICTURES'] === '1') writeFileSync(shown, readFileSync(drawn));
  const { width, height, data } = PNG.sync.read(readFileSync(shown));
  expect([width, height]).toEqual([sheet.width, sheet.height]);
  const how = 'draw it with UPDATE_PICTURES=1 npm run test:unit -- augment-pictures';
  expect(data.equals(sheet.data), how).toBe(true);
});
