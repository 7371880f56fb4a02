import { assert } from '../errors.ts';

/**
 * The predictions for every sample, in sample order. Each row contains the predicted class (the
 * argmax of the logits), the loss, and one probability per class, all as float32.
 */
export interface Predictions {
  /** [samples, 2 + classes] */
  readonly values: Float32Array;
  /** [samples] true classes. */
  readonly labels: Uint8Array;
  readonly classes: number;
}

/**
 * Calls `visit` for each sample in order. Classes must be in range, which was checked when the
 * predictions arrived.
 */
export function forEachPrediction(
  { values, labels, classes }: Predictions,
  visit: (index: number, label: number, predicted: number, loss: number) => void,
): void {
  const width = 2 + classes;
  assert(values.length === labels.length * width, `there is one row of ${width} floats per label`);
  for (let index = 0; index < labels.length; index++) {
    const predicted = values[index * width] ?? NaN;
    assert(
      Number.isInteger(predicted) && predicted >= 0 && predicted < classes,
      `sample ${index}: class ${predicted} exists`,
    );
    visit(index, labels[index] ?? 0, predicted, values[index * width + 1] ?? NaN);
  }
}
