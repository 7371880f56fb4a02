import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CurvePoint } from '../../../../dashboards/feed/api.ts';
import { Curve } from '../../../../dashboards/page/curve-columns.ts';

describe('a curve', () => {
  test('has every step once, even if a step is sent twice', () => {
    const curve = new Curve(10);
    expect(curve.append(points(1, 50))).toBe(true);
    expect(curve.append(points(30, 60))).toBe(true);
    expect(curve.append(points(1, 60))).toBe(false);
    expect([...curve.columns().step]).toEqual(points(1, 60).map(([step]) => step));
    expect(curve.columns().loss.at(-1)).toBe(1 / 60);
  });

  test('grows without copying its points until the capacity doubles', () => {
    const curve = new Curve(10, 100_000);
    curve.append(points(1, 3000));
    const { buffer } = curve.columns().loss;
    curve.append(points(3001, 4000));
    expect(curve.columns().loss.buffer).toBe(buffer);
    curve.append(points(4001, 100_000));
    expect(curve.length).toBe(100_000);
  });

  test('never exceeds its limit of points, ends at the newest step and preserves all means', () => {
    const steps = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 9 }), fc.float({ min: 0, max: 8, noNaN: true })),
      {
        minLength: 1,
        maxLength: 400,
      },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 4, max: 60 }), (list, limit) => {
        const curve = new Curve(10, limit);
        let step = 0;
        let sum = 0;
        let seconds = 0;
        for (const [stride, value] of list) {
          step += stride;
          sum += stride * value;
          seconds += stride / (value + 1);
          curve.append([[step, value, value / 8, value + 1]]);
        }
        const { step: at, loss, accuracy, samplesPerSecond } = curve.columns();
        expect(curve.length).toBeLessThanOrEqual(limit);
        expect(curve.lastStep).toBe(step);
        expect([...at]).toEqual([...new Set(at)].toSorted((a, b) => a - b));
        const weighted = (column: Float64Array) =>
          column.reduce((all, value, i) => all + value * ((at[i] ?? 0) - (at[i - 1] ?? 0)), 0);
        expect(weighted(loss)).toBeCloseTo(sum, 6);
        expect(weighted(accuracy)).toBeCloseTo(sum / 8, 6);
        // Speeds are averaged so that their total time is preserved.
        expect(weighted(samplesPerSecond.map((speed) => 1 / speed))).toBeCloseTo(seconds, 6);
      }),
    );
  });

  test('has the same distance between all points of a long run', () => {
    const curve = new Curve(10, 1000);
    curve.append(points(1, 5000));
    const { step } = curve.columns();
    const strides = new Set([...step].slice(1, -1).map((value, i) => value - (step[i] ?? 0)));
    expect([...strides]).toEqual([8]);
  });

  test('has smooth columns that follow changes within the first steps', () => {
    const curve = new Curve(94);
    for (let step = 1; step <= 40; step++) curve.append([[step, step < 10 ? 2 : 1, 0, 1]]);
    // A mean over all 94 steps would still give 1.7.
    expect(curve.lastSmoothLoss).toBeLessThan(1.1);
  });

  test('averages its smooth columns over steps, for any distance between points', () => {
    const [fine, coarse] = [new Curve(100), new Curve(100)];
    fine.append(Array.from({ length: 1000 }, (_, i) => [i + 1, i < 500 ? 2 : 1, 0.5, 1]));
    coarse.append(Array.from({ length: 100 }, (_, i) => [(i + 1) * 10, i < 50 ? 2 : 1, 0.5, 1]));
    expect(fine.lastSmoothLoss).toBeCloseTo(1 + Math.exp(-5), 6);
    expect(coarse.lastSmoothLoss).toBeCloseTo(1 + Math.exp(-5), 6);
  });

  test('has a smooth speed that is a mean over time, in which short steps hardly count', () => {
    const curve = new Curve(1000);
    curve.append(Array.from({ length: 9000 }, (_, i) => [i + 1, 1, 0.5, i % 2 === 0 ? 100 : 1000]));
    expect(curve.lastSmoothSpeed).toBeGreaterThan(180);
    expect(curve.lastSmoothSpeed).toBeLessThan(183);
  });

  test('continues after a loss that is not a number, which JSON encodes as null', () => {
    const curve = new Curve(10);
    curve.append(JSON.parse('[[1, 2, 0.5, 9], [2, null, 0.5, 9], [3, 2, 0.5, 9]]') as CurvePoint[]);
    expect([...curve.columns().loss]).toEqual([2, NaN, 2]);
    expect([...curve.columns().smoothLoss]).toEqual([2, 2, 2]);
  });
});

function points(from: number, to: number): CurvePoint[] {
  return Array.from({ length: to - from + 1 }, (_, i) => [from + i, 1 / (from + i), 0.5, 100]);
}
