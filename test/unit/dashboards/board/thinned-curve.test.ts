import { describe, expect, it } from 'vitest';
import { ThinnedCurve } from '../../../../dashboards/board/thinned-curve.ts';

const step = (step: number, loss: number) => ({
  step,
  samples: 10,
  loss,
  correct: 5,
  milliseconds: 2,
});

describe('a thinned curve', () => {
  it('keeps a spike of a single step, however many steps there are', () => {
    const curve = new ThinnedCurve(8);
    for (let i = 1; i <= 1000; i++) curve.add(step(i, i === 637 ? 99 : 1));
    const { step: steps, loss, accuracy, samplesPerSecond } = curve.points();
    expect(steps.length).toBeLessThanOrEqual(8);
    expect(steps.at(-1)).toBe(1000);
    const spike = steps.findIndex((last) => last >= 637);
    expect(loss.high.map((value) => value === 99)).toEqual(steps.map((_, i) => i === spike));
    expect(loss.low.every((value) => value === 1)).toBe(true);
    expect(accuracy.mean.every((value) => value === 0.5)).toBe(true);
    expect(samplesPerSecond.mean.every((value) => value === 5000)).toBe(true);
  });

  it('leaves no sample out of the means, and ignores a step that it has', () => {
    const curve = new ThinnedCurve(4);
    for (let i = 1; i <= 16; i++) {
      curve.add(step(i, i));
      curve.add(step(i, 1000));
    }
    const { step: steps, loss } = curve.points();
    expect(steps).toEqual([4, 8, 12, 16]);
    expect(loss.mean).toEqual([2.5, 6.5, 10.5, 14.5]);
    expect(loss.high).toEqual([4, 8, 12, 16]);
  });
});
