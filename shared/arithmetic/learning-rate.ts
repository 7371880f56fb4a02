import { z } from 'zod';
import { MAX_LEARNING_RATE, MAX_RATE_CHANGES, MAX_STEPS } from '../limits.ts';
import { cosineFall, fractionalPower, power } from './functions.ts';

const steps = z.int().min(1).max(MAX_STEPS);
const rate = z.number().gt(0).max(MAX_LEARNING_RATE);
const falling = { decay: z.number().gt(0).max(1), every: steps };

/** How the learning rate changes after the warmup. All numbers of steps count from the first. */
export const scheduleSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant') }),
  /** Multiplied by `decay` after every `every` steps. */
  z.strictObject({ kind: z.literal('step'), ...falling }),
  /** The same, but continuously. */
  z.strictObject({ kind: z.literal('exponential'), ...falling }),
  /**
   * Half a cosine from the learning rate to `final` times the learning rate, which it reaches after
   * step `horizon`.
   */
  z.strictObject({
    kind: z.literal('cosine'),
    final: z.number().min(0).max(1),
    horizon: steps,
  }),
  /** The rate after step `boundaries[i]` is `rates[i]`. */
  z
    .strictObject({
      kind: z.literal('piecewise'),
      boundaries: z.array(steps).min(1).max(MAX_RATE_CHANGES),
      rates: z.array(rate).min(1).max(MAX_RATE_CHANGES),
    })
    .refine(({ boundaries, rates }) => boundaries.length === rates.length, {
      message: 'must have one rate per boundary',
      path: ['rates'],
    })
    .refine(({ boundaries }) => boundaries.every((at, i) => at > (boundaries[i - 1] ?? 0)), {
      message: 'must increase',
      path: ['boundaries'],
    }),
]);

export type Schedule = z.infer<typeof scheduleSchema>;

/** What the learning rate of a step depends on. */
export interface RateRecipe {
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** The number of steps in which the rate rises to the learning rate. */
  readonly warmup: number;
}

/**
 * The learning rate of a step (counted from 1), before Adam's bias correction. It depends on the
 * step alone, not on the run's length. float64; docs/spec/arithmetic.md contains the formulas.
 */
export function learningRateOf(recipe: RateRecipe, step: number): number {
  const { learningRate, schedule, warmup } = recipe;
  if (step <= warmup) return (learningRate * step) / warmup;
  return scheduledRate(learningRate, schedule, warmup, step);
}

/**
 * The learning rate of a step, to show it; undefined before the first step, and if all steps have
 * the same rate.
 */
export function shownRateOf(recipe: RateRecipe, step: number): number | undefined {
  const isChanging = recipe.warmup > 0 || recipe.schedule.kind !== 'constant';
  return isChanging && step > 0 ? learningRateOf(recipe, step) : undefined;
}

function scheduledRate(base: number, schedule: Schedule, warmup: number, step: number): number {
  const done = step - 1 - warmup;
  switch (schedule.kind) {
    case 'constant':
      return base;
    case 'step':
      return base * power(schedule.decay, Math.floor(done / schedule.every));
    case 'exponential': {
      const { decay, every } = schedule;
      const rest = done % every;
      return base * (power(decay, (done - rest) / every) * fractionalPower(decay, rest / every));
    }
    case 'cosine': {
      const { final, horizon } = schedule;
      const length = horizon - warmup;
      return base * (final + (1 - final) * cosineFall(Math.min(done, length), length));
    }
    case 'piecewise': {
      const passed = schedule.boundaries.filter((boundary) => boundary < step).length;
      return schedule.rates[passed - 1] ?? base;
    }
  }
}
