import * as fc from 'fast-check';
import { expect } from 'vitest';

/**
 * Floats that are edge cases of arithmetic: zeros of both signs, subnormals, the smallest and the
 * largest normals, infinities, NaN.
 */
const special = [
  0,
  -0,
  2 ** -149,
  -(2 ** -149),
  1.2e-38,
  -1.2e-38,
  1.5e-38,
  -1.5e-38,
  2 ** -126,
  -(2 ** -126),
  2 ** -126 - 2 ** -149,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  Infinity,
  -Infinity,
  NaN,
];

export const anyFloat = fc.oneof(
  fc.constantFrom(...special),
  fc.float(),
  fc.float({ min: Math.fround(-1e-37), max: Math.fround(1e-37) }),
  fc.float({ min: -1, max: 1 }),
);

/** `count` arrays of the same length, 0 .. 300, filled with any floats. */
export function floatArrays(count: number): fc.Arbitrary<Float32Array[]> {
  const tuple = fc.tuple(...Array.from({ length: count }, () => anyFloat));
  return fc
    .array(tuple, { maxLength: 300, size: 'max' })
    .map((rows) =>
      Array.from({ length: count }, (_, i) => Float32Array.from(rows, (row) => row[i] ?? 0)),
    );
}

/** Expects the arrays to be equal bit for bit, except that any NaN equals any other. */
export function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  expect(bits(actual)).toEqual(bits(expected));
}

export function bits(values: Float32Array): string[] {
  const words = new Uint32Array(values.slice().buffer);
  return Array.from(words, (word, i) =>
    Number.isNaN(values[i]) ? 'NaN' : word.toString(16).padStart(8, '0'),
  );
}
