/** How well one class is found. */
export interface ClassScore {
  /** Of the samples that were taken for this class, the share that is of it. */
  readonly precision: number;
  /** Of the samples of this class, the share that was taken for it. */
  readonly recall: number;
  /** The harmonic mean of both: 2 hits / (taken for it + of it). */
  readonly f1: number;
  /** Samples of this class. */
  readonly support: number;
}

/**
 * One score per class of a confusion matrix, rows true. Where nothing was taken for a class, or
 * there is nothing of it, a ratio would be 0/0: it is 0, as scikit-learn has it by default.
 */
export function perClass(confusion: readonly (readonly number[])[]): ClassScore[] {
  return confusion.map((row, index) => {
    const hits = row[index] ?? 0;
    const support = row.reduce((sum, count) => sum + count, 0);
    const taken = confusion.reduce((sum, counts) => sum + (counts[index] ?? 0), 0);
    return {
      precision: ratio(hits, taken),
      recall: ratio(hits, support),
      f1: ratio(2 * hits, taken + support),
      support,
    };
  });
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
