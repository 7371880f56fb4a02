import type { AugmentBounds } from '../arithmetic/augment.ts';
import { philox4x32 } from '../arithmetic/philox.ts';
import { PURPOSE_AUGMENT, purposeWord, seedWords, type AugmentKey } from '../arithmetic/random.ts';

/**
 * The augmentation in plain TypeScript, written like its definition in docs/spec/arithmetic.md: the
 * oracle for the kernel. All numbers are integers below 2^53, where float64 is exact, except in the
 * sine, which needs more bits.
 */

/** An image, row by row, one byte per pixel. */
export interface Picture {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: Uint8Array;
}

/** What is drawn for one image. */
export interface Motion {
  /** Distances to the right and down, in 2^-16 pixels. */
  readonly dx: number;
  readonly dy: number;
  /** Clockwise, in 2^-16 turns. */
  readonly angle: number;
  /** The distance in the image that becomes a distance of one, in 2^-16: above 1 shrinks it. */
  readonly scale: number;
}

const PI = 3373259426n;
const ONE = 1n << 30n;

/** The sine of an angle in 2^-16 turns, times 2^30. */
export function sine(angle: number): number {
  const within = angle & 0x3fff;
  const folded = (angle & 0x4000) === 0 ? within : 0x4000 - within;
  const x = (BigInt(folded) * PI) >> 15n;
  const q = (x * x) >> 30n;
  let f = ONE;
  for (let n = 6n; n > 0n; n--) f = ONE - ((q * f) >> 30n) / (2n * n * (2n * n + 1n));
  const value = Number((x * f) >> 30n);
  return (angle & 0x8000) === 0 ? value : 0 - value;
}

/** The motion of a sample in an epoch: the four words of one block. */
export function drawMotion({ seed, epoch, sample }: AugmentKey, bounds: AugmentBounds): Motion {
  const { low, high } = seedWords(seed);
  const words = new Uint32Array(4);
  philox4x32(words, 0, sample, epoch, purposeWord(PURPOSE_AUGMENT, 0), low, high);
  const [first = 0, second = 0, third = 0, fourth = 0] = words;
  return {
    dx: draw(first, bounds.shift),
    dy: draw(second, bounds.shift),
    angle: draw(third, bounds.turn),
    scale: 65_536 + draw(fourth, bounds.zoom),
  };
}

/** A whole number from -bound to bound. */
function draw(word: number, bound: number): number {
  return Math.floor((word * (2 * bound + 1)) / 2 ** 32) - bound;
}

/** The numbers of the inverse map: see `moved`. */
export interface InverseMap {
  readonly a: number;
  readonly b: number;
  readonly x0: number;
  readonly y0: number;
}

export function inverseMap(
  { rows, columns }: Pick<Picture, 'rows' | 'columns'>,
  { dx, dy, angle, scale }: Motion,
): InverseMap {
  const a = divided(scale * sine(angle + 0x4000), 30);
  const b = divided(scale * sine(angle), 30);
  const x0 = (columns - 1) * 65_536 - divided(a * dx + b * dy, 15);
  const y0 = (rows - 1) * 65_536 - divided(a * dy - b * dx, 15);
  return { a, b, x0, y0 };
}

/**
 * The image after a motion. A pixel of the result is the mean of the four pixels around the place
 * that moves there, weighted by their distances; pixels outside the image are 0.
 */
export function moved(picture: Picture, motion: Motion): Uint8Array {
  const { rows, columns, pixels } = picture;
  const { a, b, x0, y0 } = inverseMap(picture, motion);
  const at = (row: number, column: number) =>
    row < 0 || row >= rows || column < 0 || column >= columns
      ? 0
      : (pixels[row * columns + column] ?? 0);
  const result = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const u = 2 * column - (columns - 1);
      const v = 2 * row - (rows - 1);
      // The place in the image, rounded from 2^-17 to 2^-11 pixels: a pixel and a fraction.
      const x = divided(x0 + a * u + b * v, 6);
      const y = divided(y0 + a * v - b * u, 6);
      const [i, j] = [Math.floor(x / 2048), Math.floor(y / 2048)];
      const [f, g] = [x - 2048 * i, y - 2048 * j];
      const upper = (2048 - f) * at(j, i) + f * at(j, i + 1);
      const lower = (2048 - f) * at(j + 1, i) + f * at(j + 1, i + 1);
      result[row * columns + column] = divided((2048 - g) * upper + g * lower, 22);
    }
  return result;
}

/** The image of a sample in an epoch. */
export function augment(picture: Picture, key: AugmentKey, bounds: AugmentBounds): Uint8Array {
  return moved(picture, drawMotion(key, bounds));
}

/** value / 2^bits, rounded to nearest, ties up. */
function divided(value: number, bits: number): number {
  return Math.floor(value / 2 ** bits + 0.5);
}
