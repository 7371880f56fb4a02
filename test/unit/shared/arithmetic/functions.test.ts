import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cosineFall, fractionalPower, power } from '../../../../shared/arithmetic/functions.ts';

describe('fractionalPower', () => {
  test('agrees with Math.pow up to rounding', () => {
    const base = fc.double({ min: 1e-12, max: 1, noNaN: true });
    const x = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(base, x, (b, exponent) => {
        expect(Math.abs(fractionalPower(b, exponent) / b ** exponent - 1)).toBeLessThan(1e-14);
      }),
    );
  });

  test('multiplies by the square roots of the binary digits, the one for 1/2 first', () => {
    const half = Math.sqrt(0.7);
    const eighth = Math.sqrt(Math.sqrt(half));
    expect(fractionalPower(0.7, 0)).toBe(1);
    expect(fractionalPower(0.7, 0.5)).toBe(half);
    expect(fractionalPower(0.7, 0.625)).toBe(half * eighth);
    // It ends for the smallest fraction of steps, and for any other number.
    expect(fractionalPower(0.7, 1 / 2 ** 31)).toBeCloseTo(1, 9);
    expect(fractionalPower(0.7, Number.MIN_VALUE)).toBeCloseTo(1, 15);
  });
});

describe('cosineFall', () => {
  test('agrees with Math.cos up to rounding', () => {
    const pair = fc
      .integer({ min: 1, max: 2 ** 31 })
      .chain((n) => fc.tuple(fc.integer({ min: 0, max: n }), fc.constant(n)));
    fc.assert(
      fc.property(pair, ([k, n]) => {
        const exact = (1 + Math.cos((Math.PI * k) / n)) / 2;
        expect(Math.abs(cosineFall(k, n) - exact)).toBeLessThan(1e-15);
      }),
      { numRuns: 1000 },
    );
  });

  test('is exact at both ends, never rises, and is accurate near 0', () => {
    expect([cosineFall(0, 7), cosineFall(7, 7)]).toEqual([1, 0]);
    expect(cosineFall(1, 2)).toBeCloseTo(0.5, 15);
    let last = 1;
    for (let k = 0; k <= 1000; k++) {
      const value = cosineFall(k, 1000);
      expect(value).toBeLessThanOrEqual(last);
      last = value;
    }
    const x = Math.PI / 2e6;
    expect(Math.abs(cosineFall(999_999, 1_000_000) / (x * x) - 1)).toBeLessThan(1e-11);
  });
});

test('power squares from the lowest bit on', () => {
  const square = 0.999 * 0.999;
  expect(power(0.999, 5)).toBe(0.999 * (square * square));
  expect(power(0.3, 0)).toBe(1);
});
