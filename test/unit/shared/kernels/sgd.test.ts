import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import type { Kernels } from '../../../../shared/kernels/kernels.ts';
import * as twins from '../../../../shared/kernels/reference-kernels.ts';
import { expectSameBits, floatArrays } from './values.ts';

const GUARD_BYTES = 40;

/** An array in the kernels' memory, followed by guard bytes. */
function place(kernels: Kernels, values: Float32Array) {
  const at = kernels.allocate(values.byteLength + GUARD_BYTES);
  const view = kernels.floats(at, values.length);
  view.set(values);
  const guard = kernels.bytes(at + values.byteLength, GUARD_BYTES).fill(0xa5);
  return {
    at,
    view,
    expectGuarded: () => expect(guard.every((byte) => byte === 0xa5)).toBe(true),
  };
}

const empty = new Float32Array();
const rate = fc.constantFrom(0, 1e-3, 0.0316, 1, 1e-30);
const factor = fc.constantFrom(0, 0.5, 0.999_999, 1, 3.7e-4, 1e-38);

describe('sgd', () => {
  test('matches the reference kernel bit for bit, and returns the XXH64 of its result', () => {
    fc.assert(
      fc.property(floatArrays(2), fc.boolean(), rate, ([w = empty, g = empty], inPlace, r) => {
        const kernels = createKernels(65_536);
        const from = place(kernels, w);
        const to = inPlace ? from : place(kernels, new Float32Array(w.length));
        const gradient = place(kernels, g);
        const [count, weights] = [w.length, w.slice()];
        const addresses = { from: from.at, to: to.at, gradient: gradient.at };
        const hash = kernels.sgd({ ...addresses, count, rate: r });
        twins.sgd({ weights, gradient: g, rate: r });
        expectSameBits(to.view, weights);
        expectSameBits(gradient.view, g);
        expectSameBits(from.view, inPlace ? weights : w);
        expect(hash).toBe(twins.check(to.view).checksum);
        for (const each of [from, to, gradient]) each.expectGuarded();
      }),
      { numRuns: 200 },
    );
  });

  test('matches steps calculated by hand, and flushes', () => {
    const kernels = createKernels(65_536);
    const from = place(kernels, Float32Array.of(10, 2 ** -125, -(2 ** -125), 1));
    const gradient = place(kernels, Float32Array.of(6, 3 * 2 ** -126, -3 * 2 ** -126, -2));
    const addresses = { from: from.at, to: from.at, gradient: gradient.at, count: 4 };
    kernels.sgd({ ...addresses, rate: 0.5 });
    expectSameBits(from.view, Float32Array.of(7, 0, -0, 2));
  });
});

describe('sgdMomentum', () => {
  test('matches the reference kernel bit for bit, and returns the XXH64 of its result', () => {
    const settings = fc.record({
      rate,
      momentum: fc.constantFrom(0.9, 0.5, 0.999_999, 1e-20),
      nesterov: fc.boolean(),
    });
    fc.assert(
      fc.property(floatArrays(3), fc.boolean(), settings, (arrays, inPlace, setting) => {
        const [w = empty, g = empty, v = empty] = arrays;
        const kernels = createKernels(65_536);
        const from = place(kernels, w);
        const to = inPlace ? from : place(kernels, new Float32Array(w.length));
        const [gradient, velocity] = [place(kernels, g), place(kernels, v)];
        const addresses = {
          from: from.at,
          to: to.at,
          gradient: gradient.at,
          velocity: velocity.at,
          count: w.length,
        };
        const hash = kernels.sgdMomentum({ ...addresses, ...setting });
        const [weights, next] = [w.slice(), v.slice()];
        twins.sgdMomentum({ weights, gradient: g, velocity: next, ...setting });
        expectSameBits(to.view, weights);
        expectSameBits(velocity.view, next);
        expectSameBits(gradient.view, g);
        expectSameBits(from.view, inPlace ? weights : w);
        expect(hash).toBe(twins.check(to.view).checksum);
        for (const each of [from, to, gradient, velocity]) each.expectGuarded();
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    // Without Nesterov w + v; with it w + (0.5 v - 0.25 g).
    { nesterov: false, expected: [8, 0, 10] },
    { nesterov: true, expected: [5, -2, 8] },
  ])('matches a step calculated by hand (Nesterov: $nesterov)', ({ nesterov, expected }) => {
    // v = 0.5 * 4 - 0.25 g
    const kernels = createKernels(65_536);
    const from = place(kernels, Float32Array.of(10, 0, 10));
    const gradient = place(kernels, Float32Array.of(16, 8, 8));
    const velocity = place(kernels, Float32Array.of(4, 4, 4));
    const addresses = { from: from.at, to: from.at, gradient: gradient.at, count: 3 };
    const settings = { momentum: 0.5, rate: 0.25, nesterov };
    kernels.sgdMomentum({ ...addresses, velocity: velocity.at, ...settings });
    expect([...velocity.view]).toEqual([-2, 0, 0]);
    expect([...from.view]).toEqual(expected);
  });

  test('flushes the velocity before it uses it', () => {
    const kernels = createKernels(65_536);
    const from = place(kernels, Float32Array.of(2 ** -126, 2 ** -126));
    const gradient = place(kernels, Float32Array.of(0, 0));
    const velocity = place(kernels, Float32Array.of(2 ** -126, -(2 ** -126)));
    const addresses = { from: from.at, to: from.at, gradient: gradient.at, count: 2 };
    const settings = { momentum: 0.5, rate: 1, nesterov: false };
    kernels.sgdMomentum({ ...addresses, velocity: velocity.at, ...settings });
    expectSameBits(velocity.view, Float32Array.of(0, -0));
    expectSameBits(from.view, Float32Array.of(2 ** -126, 2 ** -126));
  });
});

describe('scale', () => {
  test('matches the reference kernel bit for bit', () => {
    fc.assert(
      fc.property(floatArrays(1), factor, ([values = empty], f) => {
        const kernels = createKernels(65_536);
        const into = place(kernels, values);
        kernels.scale(into.at, values.length, f);
        const scaled = values.slice();
        twins.scale(scaled, f);
        expectSameBits(into.view, scaled);
        into.expectGuarded();
      }),
      { numRuns: 200 },
    );
  });
});

describe('decay', () => {
  test('matches the reference kernel bit for bit', () => {
    fc.assert(
      fc.property(floatArrays(1), fc.boolean(), factor, ([values = empty], inPlace, f) => {
        const kernels = createKernels(65_536);
        const from = place(kernels, values);
        const to = inPlace ? from : place(kernels, new Float32Array(values.length));
        kernels.decay(from.at, to.at, values.length, f);
        const decayed = values.slice();
        twins.decay(decayed, f);
        expectSameBits(to.view, decayed);
        expectSameBits(from.view, inPlace ? decayed : values);
        from.expectGuarded();
        to.expectGuarded();
      }),
      { numRuns: 200 },
    );
  });

  test('flushes a weight that falls below 2^-126', () => {
    const weights = Float32Array.of(2 ** -126, -(2 ** -126), 4);
    twins.decay(weights, 0.25);
    expectSameBits(weights, Float32Array.of(0, -0, 3));
  });
});

describe('sumOfSquares', () => {
  test('matches the reference kernel bit for bit, for every length and address', () => {
    fc.assert(
      fc.property(floatArrays(1), fc.constantFrom(0, 4, 8, 12), ([values = empty], shift) => {
        const kernels = createKernels(65_536);
        const at = kernels.allocate(values.byteLength + shift + 64) + shift;
        kernels.floats(at, values.length + 8).fill(NaN);
        kernels.floats(at, values.length).set(values);
        const sum = kernels.sumOfSquares(at, values.length);
        expect(Object.is(sum, twins.sumOfSquares(values))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('adds in float64, in eight lanes', () => {
    const kernels = createKernels(65_536);
    const sumOf = (values: readonly number[]) => {
      const { at } = place(kernels, Float32Array.from(values));
      return kernels.sumOfSquares(at, values.length);
    };
    expect(sumOf([])).toBe(0);
    expect(sumOf([3, 4])).toBe(25);
    // The squares do not overflow, and do not vanish.
    expect(sumOf([3.4028234663852886e38])).toBe(3.4028234663852886e38 ** 2);
    expect(sumOf([2 ** -149])).toBe(2 ** -298);
    // 1 is lost beside 2^54 in the same lane, but not in a lane of its own.
    expect(sumOf([2 ** 27, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1])).toBe(2 ** 54);
    expect(sumOf([2 ** 27, 1.5, 0, 0, 0, 0, 0, 0, 0, 1.5])).toBe(2 ** 54 + 4);
    expect(sumOf([NaN])).toBeNaN();
    expect(sumOf([-Infinity, 1])).toBe(Infinity);
  });
});
