import { forEachPrediction, type Predictions } from './predictions.ts';

/** A misclassified test sample: one line of artifacts/misclassified.jsonl. */
export interface Misclassified {
  readonly index: number;
  readonly true: number;
  readonly predicted: number;
  /** One probability per class, float32. */
  readonly probabilities: readonly number[];
  readonly loss: number;
}

/** All misclassified samples, in sample order. */
export function misclassified(predictions: Predictions): Misclassified[] {
  const { values, classes } = predictions;
  const wrong: Misclassified[] = [];
  forEachPrediction(predictions, (index, label, predicted, loss) => {
    if (predicted === label) return;
    const at = index * (2 + classes) + 2;
    wrong.push({
      index,
      true: label,
      predicted,
      probabilities: [...values.subarray(at, at + classes)],
      loss,
    });
  });
  return wrong;
}

/** One JSON object per line. */
export function misclassifiedLines(wrong: readonly Misclassified[]): string {
  return wrong.map((line) => `${JSON.stringify(line)}\n`).join('');
}
