import { forEachPrediction, type Predictions } from './predictions.ts';

export interface Score {
  readonly samples: number;
  readonly correct: number;
  /** correct / samples. */
  readonly accuracy: number;
  /** Mean over the samples, summed in sample order in float64. */
  readonly loss: number;
  /** Number of samples by [true class][predicted class]. */
  readonly confusion: number[][];
}

/** The loss, the accuracy and the confusion matrix of one evaluation. */
export function score(predictions: Predictions): Score {
  const { classes, labels } = predictions;
  const confusion = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  let sum = 0;
  let correct = 0;
  forEachPrediction(predictions, (_index, label, predicted, loss) => {
    sum += loss;
    if (predicted === label) correct += 1;
    const row = confusion[label];
    if (row !== undefined) row[predicted] = (row[predicted] ?? 0) + 1;
  });
  const samples = labels.length;
  return { samples, correct, accuracy: correct / samples, loss: sum / samples, confusion };
}
