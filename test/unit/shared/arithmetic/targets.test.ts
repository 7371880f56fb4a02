import { describe, expect, it } from 'vitest';
import { oneHot, targetsOf } from '../../../../shared/arithmetic/targets.ts';

describe('the targets of the loss', () => {
  it('are exactly 1 and +0 without label smoothing', () => {
    for (const targets of [targetsOf(10), targetsOf(7, 0)]) {
      expect(targets).toEqual(oneHot);
      expect(Object.is(targets.other, 0)).toBe(true);
    }
  });

  it('are rounded once from float64', () => {
    expect(targetsOf(10, 0.1)).toEqual({ own: Math.fround(0.91), other: Math.fround(0.01) });
    expect(targetsOf(3, 0.3)).toEqual({ own: Math.fround(0.7 + 0.1), other: Math.fround(0.1) });
  });

  it.each([2, 3, 10, 47])('add up to 1, for %i classes', (classes) => {
    for (const smoothing of [0, 1e-9, 0.1, 0.5, 0.999]) {
      const { own, other } = targetsOf(classes, smoothing);
      expect(own + (classes - 1) * other).toBeCloseTo(1, 6);
      expect(own).toBeGreaterThanOrEqual(other);
    }
  });
});
