/** How well one class is told from the others; each is a ratio, and 0 where it would be 0 / 0. */
export interface ClassScore {
  /** Of the samples that were taken for the class, how many are of it. */
  readonly precision: number;
  /** Of the samples of the class, how many were taken for it. */
  readonly recall: number;
  /** The harmonic mean of the two. */
  readonly f1: number;
  /** Samples of the class. */
  readonly support: number;
}

/** One for each class; `confusion` is [true class][predicted class] samples. */
export function perClass(confusion: readonly (readonly number[])[]): ClassScore[] {
  return confusion.map((row, i) => {
    const hits = row[i] ?? 0;
    const support = sum(row);
    const predicted = sum(confusion.map((other) => other[i] ?? 0));
    return {
      ...{ precision: ratio(hits, predicted), recall: ratio(hits, support), support },
      f1: ratio(2 * hits, predicted + support),
    };
  });
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
