import { computeLayer } from '../arithmetic/float64-layers.ts';
import {
  inputCount,
  modelOperations,
  outputValues,
  parameterCount,
  type ModelShape,
} from '../arithmetic/model-shape.ts';

/**
 * The probability of each class for one image of values from 0 (background) to 1, row by row.
 * `weights` is the parameter vector. Throws RangeError if a length does not fit the model.
 */
export function probabilities(
  model: ModelShape,
  weights: Float32Array,
  picture: Float32Array,
): Float64Array {
  if (weights.length !== parameterCount(model) || picture.length !== inputCount(model))
    throw new RangeError(
      `${weights.length} weights and ${picture.length} inputs do not fit the model`,
    );
  let values = Float64Array.from(picture);
  for (const operation of modelOperations(model)) {
    const output = new Float64Array(outputValues(operation));
    computeLayer(operation, weights, values, output);
    values = output;
  }
  return softmax(values);
}

function softmax(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
