import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resize, resizeAll } from '../../../../shared/dataset/resize.ts';

function resized(
  [rows, columns]: readonly [number, number],
  pixels: readonly number[],
  [toRows, toColumns]: readonly [number, number],
): number[] {
  const target = new Uint8Array(toRows * toColumns);
  const size = { rows: toRows, columns: toColumns };
  resize({ rows, columns }, Uint8Array.from(pixels), size, target);
  return [...target];
}

test('a pixel is the mean of the area that it covers, halves rounded up', () => {
  expect(resized([2, 2], [0, 1, 2, 3], [1, 1])).toEqual([2]);
  expect(resized([1, 3], [0, 90, 255], [1, 2])).toEqual([30, 200]);
  expect(resized([1, 2], [0, 255], [1, 3])).toEqual([0, 128, 255]);
  expect(resized([2, 1], [7, 9], [4, 2])).toEqual([7, 7, 7, 7, 9, 9, 9, 9]);
});

test('the result is that of exact arithmetic, for pictures of any size', () => {
  const side = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(side, side, side, side, fc.integer(), (rows, columns, toRows, toColumns, seed) => {
      const at = (y: number, x: number) => Math.abs((seed + 31 * y + 17 * x * x) % 256);
      const pixels = Array.from({ length: rows * columns }, (_, i) =>
        at(Math.floor(i / columns), i % columns),
      );
      const overlap = (i: number, to: number, source: number, from: number) =>
        Math.max(0, Math.min((i + 1) * from, (source + 1) * to) - Math.max(i * from, source * to));
      const expected = Array.from({ length: toRows * toColumns }, (_, i) => {
        const [row, column] = [Math.floor(i / toColumns), i % toColumns];
        let sum = 0;
        for (let y = 0; y < rows; y++)
          for (let x = 0; x < columns; x++)
            sum +=
              overlap(row, toRows, y, rows) * overlap(column, toColumns, x, columns) * at(y, x);
        const area = BigInt(rows * columns);
        return Number((2n * BigInt(sum) + area) / (2n * area));
      });
      expect(resized([rows, columns], pixels, [toRows, toColumns])).toEqual(expected);
    }),
  );
});

test('a very long picture needs only memory for a line', () => {
  const target = new Uint8Array(28 * 28);
  const pixels = new Uint8Array(2 ** 16).fill(200);
  resize({ rows: 2 ** 16, columns: 1 }, pixels, { rows: 28, columns: 28 }, target);
  expect(new Set(target)).toEqual(new Set([200]));
});

test('all images of a set are resized, and one of the right size stays as it is', () => {
  const images = Uint8Array.of(0, 0, 0, 0, 8, 8, 8, 8);
  const half = { rows: 2, columns: 2, samples: 2, images, labels: images, placeOf: String };
  expect([...resizeAll(half, { rows: 1, columns: 1 })]).toEqual([0, 8]);
  expect(resizeAll(half, half)).toBe(images);
});
