import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { drawingOf } from '../../../../shared/digit/read-drawing.ts';
import { Ink } from '../../../../dashboards/page/ink.ts';
import { MAX_IMAGE_PIXELS } from '../../../../shared/limits.ts';
import { upperMedian } from '../../../../shared/median.ts';
import { normalise } from '../../../../shared/digit/normalise.ts';

const SIDE = 70;
type Colour = readonly [number, number, number];
const colour = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255));
const distance = (a: Colour, b: Colour) => Math.hypot(...a.map((value, i) => value - (b[i] ?? 0)));

/** A seven, as a user might draw it on the page. */
const seven = new Ink(SIDE);
seven.stroke(20, 15, 50, 15, 3);
seven.stroke(50, 15, 30, 58, 3);

function painted(ink: Colour, paper: Colour, noise: (at: number) => number = () => 0) {
  const bytes = new Uint8Array(SIDE * SIDE * 4);
  for (const [at, share] of seven.cells.entries()) {
    for (const channel of [0, 1, 2] as const) {
      const mixed = paper[channel] + share * (ink[channel] - paper[channel]);
      bytes[at * 4 + channel] = Math.min(255, Math.max(0, Math.round(mixed + noise(at))));
    }
    bytes[at * 4 + 3] = 255;
  }
  return { rows: SIDE, columns: SIDE, bytes };
}

/** The largest difference between corresponding pixels of two pictures. */
function apart(a: Float32Array, b: Float32Array): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((most, value, at) => Math.max(most, Math.abs(value - (b[at] ?? 9))), 0);
}

describe('the drawing in a picture', () => {
  test('equals the ink drawn on the page, for any two clearly different colours', () => {
    fc.assert(
      fc.property(colour, colour, (ink, paper) => {
        fc.pre(distance(ink, paper) >= 60);
        const found = drawingOf(painted(ink, paper));
        expect(found).toMatchObject({ rows: SIDE, columns: SIDE });
        // Rounding may change one of at least 60 levels.
        expect(apart(found?.pixels ?? new Float32Array(0), seven.cells)).toBeLessThan(1 / 30);
      }),
    );
  });

  test('is normalised to the same picture as on the page', () => {
    const here = { rows: SIDE, columns: SIDE, pixels: seven.cells };
    for (const [ink, paper] of [
      [
        [0, 0, 0],
        [255, 255, 255],
      ],
      [
        [255, 255, 255],
        [0, 0, 0],
      ],
    ] as const) {
      const found = drawingOf(painted(ink, paper));
      if (found === undefined) throw new Error('no drawing was found');
      const [mine, its] = [normalise(found, 28, 28), normalise(here, 28, 28)];
      expect(apart(mine.pixels, its.pixels)).toBeLessThan(1 / 100);
    }
  });

  test('is put on white if it is transparent, or on black if more of it is visible there', () => {
    for (const ink of [
      [0, 0, 0],
      [255, 255, 255],
      [255, 255, 0],
      [200, 0, 0],
    ] as const) {
      const { bytes } = painted(ink, ink);
      for (const [at, share] of seven.cells.entries()) bytes[at * 4 + 3] = Math.round(255 * share);
      const found = drawingOf({ rows: SIDE, columns: SIDE, bytes });
      expect(apart(found?.pixels ?? new Float32Array(0), seven.cells)).toBeLessThan(1 / 30);
    }
  });

  test('does not include uneven paper', () => {
    const noisy = painted([40, 40, 60], [210, 205, 200], (at) => ((at * 7919) % 17) - 8);
    const found = drawingOf(noisy);
    for (const [at, share] of seven.cells.entries()) {
      if (share === 0) expect(found?.pixels[at]).toBe(0);
      if (share === 1) expect(found?.pixels[at]).toBeGreaterThan(0.8);
    }
  });

  test('is undefined if all pixels have almost the same colour', () => {
    expect(drawingOf(painted([9, 9, 9], [9, 9, 9]))).toBeUndefined();
    expect(drawingOf(painted([9, 9, 9], [14, 14, 14]))).toBeUndefined();
    expect(drawingOf({ rows: 1, columns: 1, bytes: Uint8Array.of(1, 2, 3, 255) })).toBeUndefined();
    expect(drawingOf({ rows: 2, columns: 1, bytes: new Uint8Array(8) })).toBeUndefined();
  });
});

test('the largest picture of one column takes no more memory than a few copies of it', () => {
  const rows = MAX_IMAGE_PIXELS;
  const bytes = new Uint8Array(4 * rows).fill(255);
  bytes.fill(0, 0, 3);
  const before = process.resourceUsage().maxRSS;
  const pixels = drawingOf({ rows, columns: 1, bytes })?.pixels;
  const kibibytes = process.resourceUsage().maxRSS - before;
  expect([pixels?.[0], pixels?.[1], pixels?.at(-1)]).toEqual([1, 0, 0]);
  expect(1024 * kibibytes).toBeLessThan(12 * bytes.length);
});

test('paper is the median colour of the border, and its noise the median difference', () => {
  const size = fc.integer({ min: 1, max: 6 });
  fc.assert(
    fc.property(size, size, fc.infiniteStream(fc.nat(255)), (rows, columns, levels) => {
      const gray = [...levels.take(rows * columns)];
      const bytes = Uint8Array.from(gray.flatMap((level) => [level, level, level, 255]));
      const isEdge = (i: number, count: number) => Number(i === 0) + Number(i === count - 1);
      const border = gray.flatMap((_, at) => {
        const [row, column] = [Math.floor(at / columns), at % columns];
        return Array.from({ length: isEdge(row, rows) + isEdge(column, columns) }, () => at);
      });
      const paper = upperMedian(border.map((at) => gray[at] ?? 0));
      const farthest = gray.reduce((a, b) => (Math.abs(b - paper) > Math.abs(a - paper) ? b : a));
      const found = drawingOf({ rows, columns, bytes })?.pixels;
      expect(found === undefined).toBe(Math.abs(farthest - paper) * Math.sqrt(3) < 16);
      if (found === undefined) return;
      const shares = gray.map((level) => (level - paper) / (farthest - paper));
      const noise = Math.min(0.5, 6 * upperMedian(border.map((at) => Math.abs(shares[at] ?? 0))));
      const expected = shares.map((share) => Math.max(0, (share - noise) / (1 - noise)));
      expect(apart(found, Float32Array.from(expected))).toBeLessThan(1e-5);
    }),
  );
});
