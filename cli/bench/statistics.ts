import { median } from '../../shared/median.ts';

/**
 * The distribution of a measurement's repetitions. It does not include the mean, which a single
 * interruption on a shared machine would shift.
 */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly repetitions: number;
}

/** Median and extremes of at least one value. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('invariant broken: a spread needs at least one value');
  return {
    median: median(values),
    min: values.reduce((a, b) => Math.min(a, b)),
    max: values.reduce((a, b) => Math.max(a, b)),
    repetitions: values.length,
  };
}
