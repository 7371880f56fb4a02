import type { Misclassified } from './misclassified.ts';

/** The probability that the model assigned to its wrong prediction. */
export function confidence({ probabilities, predicted }: Misclassified): number {
  return probabilities[predicted] ?? 0;
}

/** The `limit` most confident mistakes, sorted by confidence (highest first), then by index. */
export function worst(wrong: readonly Misclassified[], limit: number): Misclassified[] {
  return wrong
    .toSorted((a, b) => confidence(b) - confidence(a) || a.index - b.index)
    .slice(0, limit);
}
