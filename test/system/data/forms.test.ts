import { cpSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { imagesFile, labelsFile } from '../../fixtures/dataset/idx-files.ts';
import { npyFile, zipFile } from '../../fixtures/dataset/npz-file.ts';
import { pngFile } from '../../fixtures/png-file.ts';
import { newRun, QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { evaluated } from '../../fixtures/processes/evaluated.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const [SIDE, TRAIN, TEST] = [8, 400, 40];
const PIXELS = SIDE * SIDE;
/** Two classes: a horizontal stroke, and a vertical one, with noise. */
const labelOf = (sample: number) => (sample * 7) % 2;
const pixelOf = (sample: number, row: number, column: number) => {
  const isInk = labelOf(sample) === 0 ? row === sample % SIDE : column === sample % SIDE;
  return (isInk ? 200 : 0) + ((sample * 31 + row * 17 + column * 5) % 50);
};
const halves = [
  { half: 'train', idx: 'train', first: 0, samples: TRAIN },
  { half: 'test', idx: 't10k', first: TRAIN, samples: TEST },
] as const;
const names = ['lying', 'standing'] as const;

let folder: string;
beforeAll(() => {
  folder = temporaryFolder(afterAll);
  const arrays: { name: string; bytes: Buffer }[] = [];
  for (const { half, idx, first, samples } of halves) {
    const labels = Array.from({ length: samples }, (_, i) => labelOf(first + i));
    const at = (i: number) =>
      pixelOf(first + Math.floor(i / PIXELS), Math.floor((i % PIXELS) / SIDE), i % SIDE);
    const pixels = Uint8Array.from({ length: samples * PIXELS }, (_, i) => at(i));
    put(`idx/${idx}-images-idx3-ubyte`, imagesFile(samples, SIDE, SIDE, at));
    put(`idx/${idx}-labels-idx1-ubyte`, labelsFile(labels));
    arrays.push(
      { name: `x_${half}.npy`, bytes: npyFile('|u1', `(${samples}, ${SIDE}, ${SIDE})`, pixels) },
      { name: `y_${half}.npy`, bytes: npyFile('|u1', `(${samples},)`, Uint8Array.from(labels)) },
    );
    const lines = labels.map((label, i) =>
      [label, ...pixels.subarray(i * PIXELS, (i + 1) * PIXELS)].join(','),
    );
    put(`csv/${half}.csv`, `${lines.join('\n')}\n`);
    for (const [i, label] of labels.entries()) {
      const file = `pictures/${half}/${names[label]}/${String(i).padStart(4, '0')}.png`;
      // Twice as large: halving it gives the same pixels back.
      const picture = pngFile({ colourType: 0, bits: 8 }, 2 * SIDE, 2 * SIDE, (row, column) => [
        pixelOf(first + i, row >> 1, column >> 1),
      ]);
      put(file, picture);
    }
  }
  put('npz/mnist.npz', zipFile(arrays));
  for (const form of ['idx', 'csv', 'npz']) put(`${form}/labels.txt`, names.join('\n'));
});

function put(name: string, bytes: Uint8Array | string): void {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
}

async function trained(data: string, ...more: string[]): Promise<Record<string, unknown>> {
  const runs = temporaryFolder();
  const options = ['--data', data, '--no-http', '--engine', 'wasm', ...QUICK_RECIPE];
  const said = await run(['local', ...newRun(runs), ...options, '--steps', '60', ...more]);
  expect(said.code, said.output).toBe(0);
  const { dataset, model, result } = JSON.parse(readFileSync(join(runs, 'r', 'run.json'), 'utf8'));
  return { dataset, model, accuracy: result.test.accuracy, directory: join(runs, 'r') };
}

describe('the same rows in the same order', () => {
  it('train to the same SHA-256 as idx files, .npz, CSV and pictures', async () => {
    const { dataset, model, accuracy } = await trained(join(folder, 'idx'));
    expect(dataset).toMatchObject({ class_names: names, rows: SIDE });
    expect(accuracy).toBeGreaterThan(0.8);
    for (const [form, ...more] of [['npz'], ['csv'], ['pictures', '--image-size', String(SIDE)]])
      expect(await trained(join(folder, form ?? ''), ...more)).toMatchObject({ dataset, model });
  });
});

describe('a dataset whose folder is gone', () => {
  it('is taken from the cache by its digest, or asked for', async () => {
    const place = join(folder, 'gone');
    cpSync(join(folder, 'idx'), place, { recursive: true });
    const { directory } = await trained(place);
    renameSync(place, join(folder, 'moved'));
    const path = String(directory);
    const { per_class } = await evaluated(path);
    expect(per_class.map((each) => each.class)).toEqual(names);
    const empty = { XDG_CACHE_HOME: join(folder, 'no-cache') };
    for (const command of [['eval'], ['show', '--http-port', '0']]) {
      const refused = await run([...command, path, '--pictures'], empty);
      expect(refused.code, refused.output).toBe(errorTable.DATA.exit);
      expect(refused.output).toMatch(/--data/);
    }
    const shown = start(['show', path, '--http-port', '0', '--no-pictures'], empty);
    expect(await shown.says(/has no pictures of the mistakes/)).toBeDefined();
    expect(await shown.says(/is at http/)).toBeDefined();
    const found = await run(
      ['eval', path, '--data', join(folder, 'moved'), '--no-pictures'],
      empty,
    );
    expect(found.code, found.output).toBe(0);
  });
});

describe('a set like EMNIST, with 62 classes and 32 x 32 pixels', () => {
  it('trains, and is evaluated with its class names', async () => {
    const set = join(folder, 'emnist');
    for (const [half, samples] of [
      ['train', 620],
      ['test', 62],
    ] as const) {
      const name = `emnist/emnist-byclass-${half}`;
      const labels = Array.from({ length: samples }, (_, i) => i % 62);
      put(`${name}-images-idx3-ubyte`, imagesFile(samples, 32, 32));
      put(`${name}-labels-idx1-ubyte`, labelsFile(labels));
    }
    const { dataset, directory } = await trained(set);
    expect(dataset).toMatchObject({ rows: 32, columns: 32 });
    const { per_class } = await evaluated(String(directory), '--data', set);
    const found = per_class.map((each) => each.class).join('');
    expect(found).toBe('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');
  });
});
