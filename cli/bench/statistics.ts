import { median } from '../../shared/median.ts';

/**
 * How the repetitions of a measurement are distributed. There is no mean, since a single
 * interruption on a shared machine would shift it.
 */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly repetitions: number;
}

/** Median and extremes of at least one value. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('invariant broken: a spread of no values');
  return {
    median: median(values),
    min: values.reduce((a, b) => Math.min(a, b)),
    max: values.reduce((a, b) => Math.max(a, b)),
    repetitions: values.length,
  };
}
