import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { interleave, type Cell } from '../../../../cli/bench/cell.ts';
import { spreadOf } from '../../../../cli/bench/statistics.ts';
import { microsecondsPerCall } from '../../../../cli/bench/timing.ts';

describe('the spread', () => {
  test('contains the median and the extremes, and rejects an empty list', () => {
    expect(spreadOf([7, 1, 5])).toEqual({ median: 5, min: 1, max: 7, repetitions: 3 });
    expect(() => spreadOf([])).toThrow(/at least one value/);
  });

  test('has at most half of the values on each side of the median', () => {
    const values = fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 });
    fc.assert(
      fc.property(values, (some) => {
        const { median: middle, min, max } = spreadOf(some);
        const below = some.filter((value) => value < middle).length;
        const above = some.filter((value) => value > middle).length;
        expect(Math.max(below, above)).toBeLessThanOrEqual(some.length / 2);
        expect(some.every((value) => value >= min && value <= max)).toBe(true);
        expect(some).toContain(min);
        expect(some).toContain(max);
      }),
    );
  });
});

describe('interleave', () => {
  const cellsOf = (names: string[], log: string[]): Cell[] =>
    names.map((name) => ({ name, measure: async () => void log.push(name) }));

  test('measures every cell once per repetition', async () => {
    const log: string[] = [];
    const reported: number[] = [];
    const signal = new AbortController().signal;
    await interleave(cellsOf(['a', 'b'], log), 3, signal, (_cell, _repetition, done) =>
      reported.push(done),
    );
    expect(log).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
    expect(reported).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('stops before the next cell when the signal is aborted', async () => {
    const log: string[] = [];
    const controller = new AbortController();
    const stop: Cell = { name: 'stop', measure: async () => controller.abort(new Error('enough')) };
    const cells = [...cellsOf(['a'], log), stop, ...cellsOf(['b'], log)];
    await expect(interleave(cells, 2, controller.signal, () => undefined)).rejects.toThrow(
      'enough',
    );
    expect(log).toEqual(['a']);
  });
});

test('the time of a call is measured over at least two calls and the requested time', () => {
  let calls = 0;
  const perCall = microsecondsPerCall(() => void (calls += 1), 2);
  expect(calls).toBeGreaterThanOrEqual(2);
  expect(perCall).toBeGreaterThan(0);
  // The measured calls took at least the requested 2 ms in total.
  expect(perCall * calls).toBeGreaterThanOrEqual(2000);
});
