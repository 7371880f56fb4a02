import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Curve, type CurveStep } from '../../../../dashboards/feed/curve-history.ts';

const step = (number: number): CurveStep => ({
  step: number,
  samples: 10 + (number % 3),
  loss: 1 / number,
  correct: number % 10,
  milliseconds: 2,
});

describe("a run's curve", () => {
  it('has a point for every step while there is room', () => {
    const curve = new Curve(8);
    for (let i = 1; i <= 8; i++) curve.add(step(i));
    expect(curve.points().map(([last]) => last)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(curve.points()[3]).toEqual([4, 0.25, Number((4 / 11).toPrecision(6)), 5500]);
  });

  it('never exceeds its limit of points, ends with the last step, and counts every sample', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 }),
        fc.constantFrom(2, 4, 16, 64),
        (steps, most) => {
          const curve = new Curve(most);
          let correct = 0;
          let samples = 0;
          for (let i = 1; i <= steps; i++) {
            curve.add(step(i));
            correct += step(i).correct;
            samples += step(i).samples;
          }
          const points = curve.points();
          expect(points.length).toBeLessThanOrEqual(most);
          expect(points.length).toBeGreaterThanOrEqual(Math.min(steps, most / 2));
          expect(points.at(-1)?.[0]).toBe(steps);
          const lasts = points.map(([last]) => last);
          expect(lasts).toEqual(lasts.toSorted((a, b) => a - b));
          // A curve of two points averages all steps in them.
          const whole = new Curve(2);
          for (let i = 1; i <= steps; i++) whole.add(step(i));
          const sums = { correct: 0, samples: 0 };
          for (const [last, , accuracy] of whole.points()) {
            const first = sums.samples === 0 ? 1 : (whole.points()[0]?.[0] ?? 0) + 1;
            let rows = 0;
            for (let i = first; i <= last; i++) rows += step(i).samples;
            sums.correct += accuracy * rows;
            sums.samples += rows;
          }
          expect(sums.samples).toBe(samples);
          expect(sums.correct / samples).toBeCloseTo(correct / samples, 4);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('counts a step only once, even if it is computed again', () => {
    const curve = new Curve(4);
    for (const number of [1, 2, 3, 2, 3, 4]) curve.add(step(number));
    expect(curve.points().map(([last]) => last)).toEqual([1, 2, 3, 4]);
  });

  it('returns each new point once', () => {
    const curve = new Curve(4);
    expect(curve.take()).toEqual([]);
    for (let i = 1; i <= 5; i++) curve.add(step(i));
    // There was one point too many, so the points were merged in pairs.
    expect(curve.take().map(([last]) => last)).toEqual([2, 4, 5]);
    expect(curve.take()).toEqual([]);
    curve.add(step(6));
    expect(curve.take().map(([last]) => last)).toEqual([6]);
  });
});
