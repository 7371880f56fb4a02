import { describe, expect, test } from 'vitest';
import {
  learningRateOf,
  scheduleSchema,
  shownRateOf,
  type RateRecipe,
  type Schedule,
} from '../../../../shared/arithmetic/learning-rate.ts';

const base = { learningRate: 0.001, warmup: 0 };

function ratesOf(recipe: RateRecipe, steps: readonly number[]): number[] {
  return steps.map((step) => learningRateOf(recipe, step));
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  actual.forEach((rate, i) => expect(rate / (expected[i] ?? NaN)).toBeCloseTo(1, 12));
}

describe('the learning rate', () => {
  test('of a constant schedule is the given number, to the bit', () => {
    const schedule: Schedule = { kind: 'constant' };
    expect(ratesOf({ ...base, schedule }, [1, 2, 1e9])).toEqual([0.001, 0.001, 0.001]);
  });

  test('rises linearly in the warmup, whose last step has the full rate', () => {
    const recipe: RateRecipe = { learningRate: 0.8, warmup: 4, schedule: { kind: 'constant' } };
    expect(ratesOf(recipe, [1, 2, 3, 4, 5])).toEqual([0.2, 0.4, 0.8 * 0.75, 0.8, 0.8]);
  });

  test('of a step schedule falls after every `every` steps that follow the warmup', () => {
    const schedule: Schedule = { kind: 'step', decay: 0.5, every: 10 };
    const rates = ratesOf({ learningRate: 1, warmup: 2, schedule }, [2, 3, 12, 13, 22, 23]);
    expect(rates).toEqual([1, 1, 1, 0.5, 0.5, 0.25]);
  });

  test('of an exponential schedule is that of the step schedule at its steps', () => {
    const schedule: Schedule = { kind: 'exponential', decay: 0.7, every: 100 };
    const steps = [1, 2, 51, 100, 101, 151, 12_345];
    expectClose(
      ratesOf({ ...base, schedule }, steps),
      steps.map((step) => 0.001 * 0.7 ** ((step - 1) / 100)),
    );
    const step: Schedule = { ...schedule, kind: 'step' };
    const every = [1, 101, 201, 10_001];
    expect(ratesOf({ ...base, schedule }, every)).toEqual(
      ratesOf({ ...base, schedule: step }, every),
    );
  });

  test('of a cosine schedule falls from the end of the warmup to the horizon, then stays', () => {
    const schedule: Schedule = { kind: 'cosine', final: 0.1, horizon: 1000 };
    const recipe = { learningRate: 0.01, warmup: 100, schedule };
    const steps = [101, 102, 326, 551, 776, 1000];
    expectClose(
      ratesOf(recipe, steps),
      steps.map(
        (step) => 0.01 * (0.1 + (0.9 * (1 + Math.cos((Math.PI * (step - 101)) / 900))) / 2),
      ),
    );
    expect(ratesOf(recipe, [1001, 1002, 1e6])).toEqual([0.001, 0.001, 0.001]);
    const toZero: Schedule = { ...schedule, final: 0 };
    expect(ratesOf({ ...recipe, schedule: toZero }, [101, 1001])).toEqual([0.01, 0]);
  });

  test('of a piecewise schedule changes after its boundaries', () => {
    const schedule: Schedule = { kind: 'piecewise', boundaries: [3, 5], rates: [0.1, 0.5] };
    expect(ratesOf({ ...base, schedule }, [1, 3, 4, 5, 6, 7])).toEqual([
      0.001, 0.001, 0.1, 0.1, 0.5, 0.5,
    ]);
  });
});

test('the learning rate is shown only if it differs between steps', () => {
  const schedule: Schedule = { kind: 'constant' };
  expect(shownRateOf({ ...base, schedule }, 5)).toBeUndefined();
  expect(shownRateOf({ ...base, schedule, warmup: 2 }, 1)).toBe(0.0005);
  expect(shownRateOf({ ...base, schedule, warmup: 2 }, 0)).toBeUndefined();
  const step: Schedule = { kind: 'step', decay: 0.5, every: 1 };
  expect(shownRateOf({ ...base, schedule: step }, 2)).toBe(0.0005);
});

describe('the schema of schedules', () => {
  test.each([
    [{ kind: 'linear' }],
    [{ kind: 'constant', decay: 0.5 }],
    [{ kind: 'step', decay: 0, every: 1 }],
    [{ kind: 'step', decay: 1.1, every: 1 }],
    [{ kind: 'exponential', decay: 0.5, every: 0 }],
    [{ kind: 'exponential', decay: 0.5, every: 1.5 }],
    [{ kind: 'cosine', final: -0.1, horizon: 10 }],
    [{ kind: 'cosine', final: 0 }],
    [{ kind: 'cosine', final: 0, horizon: 2 ** 32 }],
    [{ kind: 'piecewise', boundaries: [], rates: [] }],
    [{ kind: 'piecewise', boundaries: [2, 2], rates: [1, 1] }],
    [{ kind: 'piecewise', boundaries: [1, 2], rates: [1] }],
    [{ kind: 'piecewise', boundaries: [1], rates: [NaN] }],
    [{ kind: 'piecewise', boundaries: [1], rates: [0] }],
  ])('rejects %j', (schedule) => {
    expect(scheduleSchema.safeParse(schedule).success).toBe(false);
  });
});
