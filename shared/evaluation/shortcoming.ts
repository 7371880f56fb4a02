/**
 * Minimum skill of a trained model. A model that always predicts the most frequent class has a
 * skill of 0, and a perfect one has a skill of 1.
 */
const MIN_SKILL = 0.1;

/** The part of an evaluation that is judged. */
interface Judged {
  /** From 0 to 1. */
  readonly accuracy: number;
  readonly loss: number;
  /** Rows are the true classes. */
  readonly confusion: readonly (readonly number[])[];
}

/** A reason why a fully trained model is of little use. */
export type Shortcoming =
  /** `guess` is the accuracy of always predicting the most frequent class. */
  | { readonly kind: 'guessing'; readonly guess: number }
  /** The loss on the test set is higher than at the first evaluation. */
  | { readonly kind: 'risen'; readonly from: number };

/**
 * A model's shortcoming; undefined if it has none. `firstLoss` is the loss at the first evaluation.
 */
export function shortcomingOf(
  judged: Judged,
  firstLoss: number | undefined,
): Shortcoming | undefined {
  const { accuracy, loss, confusion } = judged;
  const sizes = confusion.map((row) => row.reduce((sum, count) => sum + count, 0));
  const samples = sizes.reduce((sum, size) => sum + size, 0);
  const guess = Math.max(...sizes) / Math.max(1, samples);
  // With a single class, every model has an accuracy of 1.
  if (guess < 1 && (accuracy - guess) / (1 - guess) < MIN_SKILL) return { kind: 'guessing', guess };
  return firstLoss !== undefined && loss > firstLoss
    ? { kind: 'risen', from: firstLoss }
    : undefined;
}
