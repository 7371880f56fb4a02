import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import * as reference from '../../../../shared/kernels/reference-kernels.ts';
import { expectSameBits } from './values.ts';

/** Converts the bytes; fails if a byte after the result has changed. */
function convert(bytes: Uint8Array): Float32Array {
  const kernels = createKernels(5 * bytes.length + 4096);
  const from = kernels.allocate(bytes.length);
  kernels.bytes(from, bytes.length).set(bytes);
  const out = kernels.allocate(4 * bytes.length + 128);
  kernels.bytes(out, 4 * bytes.length + 128).fill(0xa5);
  kernels.pixels(out, from, bytes.length);
  const after = kernels.bytes(out + 4 * bytes.length, 128);
  expect(after.every((byte) => byte === 0xa5)).toBe(true);
  return kernels.floats(out, bytes.length).slice();
}

describe('pixels', () => {
  test('matches the reference kernel for every byte, at every place in a vector', () => {
    for (let offset = 0; offset < 16; offset++) {
      const bytes = Uint8Array.from({ length: 256 + offset }, (_, i) => i - offset);
      expectSameBits(convert(bytes), reference.pixels(bytes));
    }
  });

  test('matches the reference kernel for any number of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expectSameBits(convert(bytes), reference.pixels(bytes));
      }),
    );
  });

  test('is float32(byte / 255), not a product with a rounded reciprocal', () => {
    const [value = NaN] = convert(Uint8Array.of(3));
    expect(value).toBe(Math.fround(3 / 255));
    expect(value).not.toBe(Math.fround(3 * Math.fround(1 / 255)));
  });

  test('rejects memory that was not allocated', () => {
    const kernels = createKernels(1024);
    const at = kernels.allocate(64);
    expect(() => kernels.pixels(at, at, 17)).toThrow(/not allocated/);
    expect(() => kernels.pixels(at, at + 60, 5)).toThrow(/not allocated/);
  });
});
