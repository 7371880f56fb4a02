import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { readPicture } from '../../../../shared/pictures/read-picture.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS } from '../../../../shared/limits.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { assemble, channels, pngFile, type PngKind } from '../../../fixtures/png-file.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function written(bytes: Uint8Array): string {
  const path = join(folder, 'picture.png');
  writeFileSync(path, bytes);
  return path;
}

/** The message of the error with which a file is rejected. */
async function refusal(path: string): Promise<string> {
  const error: unknown = await readPicture(path).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ClusterError))
    throw new Error(`${path} was accepted, or failed differently: ${String(error)}`);
  expect(error.code).toBe('IMAGE');
  expect(error.message).toContain(path);
  return error.message;
}

const [rows, columns] = [11, 13];
const gray: PngKind = { colourType: 0, bits: 8 };
/** A pattern of two values in which no two rows or columns are equal. */
const isInk = (row: number, column: number) => (row * row + 2 * column) % 29 < 11;

describe('readPicture reads a PNG', () => {
  const kinds = ([0, 2, 4, 6] as const).flatMap((colourType) =>
    ([1, 2, 4, 8, 16] as const)
      .filter((bits) => bits >= 8 || colourType === 0)
      .flatMap((bits) =>
        [false, true].map((interlaced): PngKind => ({ colourType, bits, interlaced })),
      ),
  );
  test.each(kinds)(
    'of colour type $colourType with $bits bits (interlaced: $interlaced)',
    async (kind) => {
      const most = 2 ** kind.bits - 1;
      const file = pngFile(kind, rows, columns, (row, column) =>
        Array.from({ length: channels(kind) }, () => (isInk(row, column) ? most : 0)),
      );
      const read = await readPicture(written(file));
      expect([read.rows, read.columns]).toEqual([rows, columns]);
      const isOpaque = kind.colourType === 0 || kind.colourType === 2;
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
          const value = isInk(row, column) ? 255 : 0;
          const at = (row * columns + column) * 4;
          expect([...read.bytes.subarray(at, at + 4)]).toEqual([
            value,
            value,
            value,
            isOpaque ? 255 : value,
          ]);
        }
    },
  );

  test.each([1, 2, 4, 8] as const)(
    'with a palette of %i bits and a transparent colour',
    async (bits) => {
      const kind: PngKind = {
        colourType: 3,
        bits,
        transparency: Uint8Array.of(0),
        palette: [
          [10, 20, 30],
          [200, 100, 50],
        ],
      };
      const file = pngFile(kind, rows, columns, (row, column) => [isInk(row, column) ? 1 : 0]);
      const { bytes } = await readPicture(written(file));
      expect([...bytes.subarray(0, 4)]).toEqual([200, 100, 50, 255]);
      const paper =
        Array.from({ length: columns }, (_, column) => column).find(
          (column) => !isInk(0, column),
        ) ?? 0;
      expect([...bytes.subarray(4 * paper, 4 * paper + 4)]).toEqual([10, 20, 30, 0]);
    },
  );

  test('with trailing bytes, such as those that cameras and chat programs append', async () => {
    const file = pngFile(gray, 3, 2, (row, column) => [10 * row + column]);
    const whole = await readPicture(written(file));
    for (const tail of [Buffer.alloc(1), Buffer.from('EXIF, or a second picture'), file])
      expect(await readPicture(written(Buffer.concat([file, tail])))).toEqual(whole);
  });

  test('with a single pixel', async () => {
    expect(await readPicture(written(pngFile(gray, 1, 1, () => [7])))).toMatchObject({
      rows: 1,
      columns: 1,
    });
  });
});

describe('readPicture rejects, with the name of the file,', () => {
  test('a missing file and a file of another kind', async () => {
    expect(await refusal(join(folder, 'none.png'))).toContain('there is no such file');
    mkdirSync(join(folder, 'folder.png'));
    expect(await refusal(join(folder, 'folder.png'))).toContain('not a regular file');
    expect(await refusal('/dev/zero')).toContain('not a regular file');
    expect(await refusal(written(Buffer.from('GIF89a, or anything else')))).toContain(
      'it is not a PNG or a JPEG',
    );
    expect(await refusal(written(new Uint8Array(0)))).toContain('it is empty');
  });

  test('a PNG whose header declares no pixels or too many, before it is decompressed', async () => {
    const empty = deflateSync(Buffer.alloc(0));
    expect(await refusal(written(assemble(gray, 0, 5, [], empty)))).toContain('it has no pixels');
    const side = Math.sqrt(MAX_IMAGE_PIXELS);
    expect(await refusal(written(assemble(gray, side + 1, side, [], empty)))).toContain(
      'MAX_IMAGE_PIXELS',
    );
    expect(await refusal(written(assemble(gray, 2 ** 31, 2 ** 31, [], empty)))).toContain(
      'MAX_IMAGE_PIXELS',
    );
    expect(await refusal(written(assemble(gray, side, side, [], empty)))).toContain('damaged');
  });

  test('a file that is too large, without reading it', async () => {
    const path = written(pngFile(gray, 2, 2, () => [7]));
    truncateSync(path, MAX_IMAGE_FILE_BYTES + 1);
    expect(await refusal(path)).toContain('MAX_IMAGE_FILE_BYTES');
  });

  test.each([false, true])(
    'a PNG with more data than pixels, without unpacking it (interlaced: %s)',
    async (interlaced) => {
      const bomb = deflateSync(Buffer.alloc(2 ** 29));
      const before = process.resourceUsage().maxRSS;
      expect(await refusal(written(assemble({ ...gray, interlaced }, 5, 5, [], bomb)))).toContain(
        'damaged',
      );
      // In KiB: a tenth of the unpacked size.
      expect(process.resourceUsage().maxRSS - before).toBeLessThan((2 ** 29 / 1024) * 0.1);
    },
  );

  test('a PNG with less data than pixels', async () => {
    const file = (length: number) => assemble(gray, 5, 5, [], deflateSync(Buffer.alloc(length)));
    expect(await readPicture(written(file(30)))).toMatchObject({ rows: 5 });
    for (const length of [0, 1, 29, 31])
      expect(await refusal(written(file(length)))).toContain('damaged');
  });

  test('a damaged PNG, always with an IMAGE error', async () => {
    const whole = pngFile({ colourType: 6, bits: 8 }, 20, 20, (row, column) => [
      row,
      column,
      7,
      row * column,
    ]);
    const damage = fc.record({
      cut: fc.nat(whole.length),
      at: fc.nat(whole.length - 1),
      byte: fc.nat(255),
      isCut: fc.boolean(),
    });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(damage, async ({ isCut, cut, at, byte }) => {
        const file = Buffer.from(isCut ? whole.subarray(0, cut) : whole);
        if (!isCut) file[at] = byte;
        const path = written(file);
        if (file.equals(whole)) return;
        // Only a changed byte outside the pixels is accepted.
        await readPicture(path).catch((error: unknown) => {
          if (!(error instanceof ClusterError) || error.code !== 'IMAGE') throw error;
          refused += 1;
        });
      }),
      { numRuns: 300 },
    );
    expect(refused).toBeGreaterThan(200);
  });
});
