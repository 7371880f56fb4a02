import type { Misclassified } from './misclassified.ts';

/** The probability that the model gave its wrong answer. */
export function confidence({ probabilities, predicted }: Misclassified): number {
  return probabilities[predicted] ?? 0;
}

/**
 * At most `limit` mistakes, those first of which the model was surest; of equals the first in the
 * dataset.
 */
export function worst(wrong: readonly Misclassified[], limit: number): Misclassified[] {
  return wrong
    .toSorted((a, b) => confidence(b) - confidence(a) || a.index - b.index)
    .slice(0, limit);
}
