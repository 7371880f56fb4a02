/**
 * Between 0, for a model that always says the commonest class, and 1. Below this it has learned
 * next to nothing.
 */
const MIN_SKILL = 0.1;

/** An evaluation as far as it is judged. */
interface Judged {
  /** A ratio. */
  readonly accuracy: number;
  readonly loss: number;
  /** Rows are the true classes. */
  readonly confusion: readonly (readonly number[])[];
}

/**
 * Why a model that was trained to its end is of little use; `firstLoss` is that of its first
 * evaluation.
 */
export type Shortcoming =
  /** `guess` is the accuracy of whatever always says the commonest class. */
  | { readonly kind: 'guessing'; readonly guess: number }
  /** Its loss on the test set is higher than it was at the first evaluation. */
  | { readonly kind: 'risen'; readonly from: number };

/** Undefined where nothing is conspicuous. */
export function shortcomingOf(
  judged: Judged,
  firstLoss: number | undefined,
): Shortcoming | undefined {
  const { accuracy, loss, confusion } = judged;
  const sizes = confusion.map((row) => row.reduce((sum, count) => sum + count, 0));
  const samples = sizes.reduce((sum, size) => sum + size, 0);
  const guess = Math.max(...sizes) / Math.max(1, samples);
  // Of a single class everybody knows everything.
  if (guess < 1 && (accuracy - guess) / (1 - guess) < MIN_SKILL) return { kind: 'guessing', guess };
  return firstLoss !== undefined && loss > firstLoss
    ? { kind: 'risen', from: firstLoss }
    : undefined;
}
