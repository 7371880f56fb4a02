import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adamRate, createKernels, kernelDigest } from '../../../../shared/kernels/kernels.ts';
import type { Kernels } from '../../../../shared/kernels/kernels.ts';
import * as twins from '../../../../shared/kernels/reference-kernels.ts';
import { MAX_KERNEL_MEMORY_BYTES } from '../../../../shared/limits.ts';
import { bits, expectSameBits, floatArrays } from './values.ts';

const MEMORY_BYTES = 65_536;
const GUARD = 0xa5;
const GUARD_BYTES = 24;

/** An array in the kernels' memory, `shift` bytes off the alignment, with guard bytes around it. */
function place(kernels: Kernels, values: Float32Array, shift = 0) {
  const at = kernels.allocate(shift + values.byteLength + GUARD_BYTES) + shift;
  const view = kernels.floats(at, values.length);
  view.set(values);
  const guard = kernels.bytes(at + values.byteLength, GUARD_BYTES).fill(GUARD);
  const before = kernels.bytes(at - shift, shift).fill(GUARD);
  return {
    at,
    view,
    expectGuarded: () => expect([...before, ...guard].every((byte) => byte === GUARD)).toBe(true),
  };
}

const shift = fc.constantFrom(0, 4, 8, 12);

describe('add', () => {
  test('matches the reference kernel bit for bit, and writes only to its arrays', () => {
    fc.assert(
      fc.property(
        floatArrays(2),
        shift,
        ([left = new Float32Array(), right = new Float32Array()], off) => {
          const kernels = createKernels(MEMORY_BYTES);
          const into = place(kernels, left, off);
          const from = place(kernels, right);
          kernels.add(into.at, from.at, left.length);
          twins.add(left, right);
          expectSameBits(into.view, left);
          expectSameBits(from.view, right);
          into.expectGuarded();
          from.expectGuarded();
        },
      ),
      { numRuns: 200 },
    );
  });

  test('rounds to float32 and flushes values below 2^-126 to a zero of their sign', () => {
    const kernels = createKernels(MEMORY_BYTES);
    const into = place(
      kernels,
      Float32Array.of(1.5e-38, -1.5e-38, 1.5e-38, -0, -0, 2 ** 24, 2 ** -125, 3e38),
    );
    const from = place(
      kernels,
      Float32Array.of(-1.2e-38, 1.2e-38, 0, -0, 0, 1, -(2 ** -126), 3e38),
    );
    kernels.add(into.at, from.at, 8);
    const expected = Float32Array.of(0, -0, 1.5e-38, -0, 0, 2 ** 24, 2 ** -126, Infinity);
    expectSameBits(into.view, expected);
  });
});

describe('addZero', () => {
  test('matches the reference kernel and an addition of +0', () => {
    fc.assert(
      fc.property(floatArrays(1), shift, ([values = new Float32Array()], off) => {
        const kernels = createKernels(MEMORY_BYTES);
        const into = place(kernels, values, off);
        kernels.addZero(into.at, values.length);
        const sum = values.slice();
        twins.add(sum, new Float32Array(values.length));
        twins.addZero(values);
        expectSameBits(into.view, values);
        expectSameBits(into.view, sum);
        into.expectGuarded();
      }),
    );
  });

  test('changes -0 to +0', () => {
    const kernels = createKernels(MEMORY_BYTES);
    const into = place(kernels, Float32Array.of(-0, -1, -0, 2, -0));
    kernels.addZero(into.at, 5);
    expect(bits(into.view)).toEqual(bits(Float32Array.of(0, -1, 0, 2, 0)));
  });
});

describe('check', () => {
  test('matches the reference kernel', () => {
    fc.assert(
      fc.property(floatArrays(1), shift, ([values = new Float32Array()], off) => {
        const kernels = createKernels(MEMORY_BYTES);
        const { at, view } = place(kernels, values, off);
        expect(kernels.check(at, values.length)).toEqual(twins.check(view));
      }),
    );
  });

  test.each([NaN, Infinity, -Infinity])(
    'finds %s at any index, but not after the last value',
    (value) => {
      const kernels = createKernels(MEMORY_BYTES);
      for (let count = 0; count <= 19; count++) {
        const values = new Float32Array(count).fill(-3.4028234663852886e38);
        const { at, view } = place(kernels, values);
        kernels.floats(at + values.byteLength, 4).fill(value);
        expect(kernels.check(at, count).finite).toBe(true);
        for (let i = 0; i < count; i++) {
          view[i] = value;
          expect(kernels.check(at, count).finite).toBe(false);
          view[i] = 1;
        }
      }
    },
  );

  test('finds a NaN with any payload and sign', () => {
    const kernels = createKernels(MEMORY_BYTES);
    const { at } = place(kernels, new Float32Array(9));
    const words = new Uint32Array(kernels.memory.buffer, at, 9);
    for (const word of [0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff]) {
      words[4] = word;
      expect(kernels.check(at, 9).finite).toBe(false);
    }
    words[4] = 0xff7fffff;
    expect(kernels.check(at, 9).finite).toBe(true);
  });
});

describe('memory', () => {
  test('is zeroed and allocated at multiples of 64, without overlap and never at address 0', () => {
    const kernels = createKernels(MEMORY_BYTES);
    const addresses = [1, 64, 65, 0, 7].map((bytes) => kernels.allocate(bytes));
    expect(addresses).toEqual([64, 128, 192, 320, 320]);
    expect(kernels.bytes(64, 320).every((byte) => byte === 0)).toBe(true);
  });

  test('has the requested size, does not grow, and causes a LIMIT error when exhausted', () => {
    const kernels = createKernels(100_000);
    const size = kernels.memory.buffer.byteLength;
    expect(kernels.allocate(100_000)).toBe(64);
    expect(() => kernels.allocate(size)).toThrow(expect.objectContaining({ code: 'LIMIT' }));
    expect(kernels.memory.buffer.byteLength).toBe(size);
    expect(kernels.allocate(64)).toBe(64 + 100_032);
  });

  test.each([MAX_KERNEL_MEMORY_BYTES, Infinity, NaN, -1])(
    'of %d bytes is rejected with LIMIT',
    (bytes) => {
      expect(() => createKernels(bytes)).toThrow(expect.objectContaining({ code: 'LIMIT' }));
    },
  );

  test('is not shared by two instances', () => {
    const [one, other] = [createKernels(1000), createKernels(1000)];
    one.floats(one.allocate(400), 100).fill(1);
    expect(other.floats(other.allocate(400), 100).every((value) => value === 0)).toBe(true);
  });

  test('that was not allocated is rejected as a bug', () => {
    const kernels = createKernels(MEMORY_BYTES);
    const at = kernels.allocate(64);
    expect(() => kernels.add(at, at, 17)).toThrow(/not allocated/);
    expect(() => kernels.add(0, at, 1)).toThrow(/not allocated/);
    expect(() => kernels.addZero(at, -1)).toThrow(/not allocated/);
    expect(() => kernels.checksum(at + 60, 5)).toThrow(/not allocated/);
    expect(() => kernels.check(NaN, 1)).toThrow(/not allocated/);
  });
});

test('the digest of the kernels is a SHA-256', () => {
  expect(kernelDigest()).toMatch(/^[0-9a-f]{64}$/);
  expect(kernelDigest()).toBe(kernelDigest());
});

describe('adamRate', () => {
  test('is the learning rate times sqrt(1 - b2) / (1 - b1) in step 1, and converges to it', () => {
    expect(adamRate(0.001, 0.9, 0.999, 1)).toBeCloseTo(0.001 * (Math.sqrt(0.001) / 0.1), 15);
    expect(adamRate(0.001, 0.9, 0.999, 1_000_000)).toBe(0.001);
    expect(adamRate(0.5, 0, 0, 3)).toBe(0.5);
  });

  test('multiplies by the squares in the documented order', () => {
    // 0.9^5 = 0.9 * (0.9^2)^2, and likewise for 0.999^5.
    const powers = [0.9, 0.999].map((base) => base * (base * base * (base * base)));
    const [first = 0, second = 0] = powers;
    expect(adamRate(0.01, 0.9, 0.999, 5)).toBe((0.01 * Math.sqrt(1 - second)) / (1 - first));
  });

  test('matches the closed form up to rounding', () => {
    for (const step of [1, 2, 3, 10, 100, 1234, 9375]) {
      const exact = (0.001 * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step);
      expect(Math.abs(adamRate(0.001, 0.9, 0.999, step) / exact - 1)).toBeLessThan(1e-12);
    }
  });
});
