/** The scores of one class. */
export interface ClassScore {
  /** Fraction of the samples predicted as this class that belong to it. */
  readonly precision: number;
  /** Fraction of the samples of this class that are predicted as this class. */
  readonly recall: number;
  /** The harmonic mean of precision and recall: 2 hits / (predicted + support). */
  readonly f1: number;
  /** Number of samples of this class. */
  readonly support: number;
}

/**
 * The scores of each class, computed from a confusion matrix whose rows are the true classes. The
 * ratio 0/0, for a class without samples or predictions, counts as 0, as it does by default in
 * scikit-learn.
 */
export function perClass(confusion: readonly (readonly number[])[]): ClassScore[] {
  return confusion.map((row, index) => {
    const hits = row[index] ?? 0;
    const support = row.reduce((sum, count) => sum + count, 0);
    const predicted = confusion.reduce((sum, counts) => sum + (counts[index] ?? 0), 0);
    return {
      precision: ratio(hits, predicted),
      recall: ratio(hits, support),
      f1: ratio(2 * hits, predicted + support),
      support,
    };
  });
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
