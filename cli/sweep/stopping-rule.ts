/** An evaluation after an epoch. */
export interface EpochAccuracy {
  readonly epoch: number;
  /** A ratio, 0..1. */
  readonly accuracy: number;
}

/** Why a trial stops: its best accuracy so far, and the median that it is below. */
export interface Stop {
  readonly epoch: number;
  readonly best: number;
  readonly median: number;
}

/**
 * Whether a trial stops after its last evaluation: from epoch `from` on, it does if its best
 * accuracy so far is below the median of the best ones that earlier trials had at that epoch.
 * Trials that did not reach the epoch do not count (the median stopping rule of Google Vizier,
 * 2017, section 3.2.2, with bests in place of running averages, as in Optuna).
 */
export function stopOf(
  own: readonly EpochAccuracy[],
  earlier: readonly (readonly EpochAccuracy[])[],
  from: number,
): Stop | undefined {
  const epoch = own.at(-1)?.epoch;
  if (epoch === undefined || epoch < from) return undefined;
  const bests = earlier.flatMap((scores) => bestAt(scores, epoch) ?? []);
  const best = bestAt(own, epoch);
  if (bests.length === 0 || best === undefined) return undefined;
  const median = medianOf(bests);
  return best < median ? { epoch, best, median } : undefined;
}

/** The highest accuracy up to an epoch; undefined if the epoch was not evaluated. */
function bestAt(scores: readonly EpochAccuracy[], epoch: number): number | undefined {
  const until = scores.filter((score) => score.epoch <= epoch);
  if (until.at(-1)?.epoch !== epoch) return undefined;
  return Math.max(...until.map(({ accuracy }) => accuracy));
}

function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = 0, high = 0] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  // Not rounded if both are the same.
  return low === high ? low : (low + high) / 2;
}
