import { computeLayer } from '../arithmetic/float64-layers.ts';
import {
  inputCount,
  modelOperations,
  outputValues,
  parameterCount,
  valuesOf,
  type ModelShape,
  type Operation,
} from '../arithmetic/model-shape.ts';
import { MAX_PREDICTION_OPERATIONS, MAX_PREDICTION_VALUES } from '../model-limits.ts';

/** Why a prediction with this model would be too large, or undefined; completes "the model ...". */
export function predictionExcess(model: ModelShape): string | undefined {
  const all = modelOperations(model);
  const values = all.reduce((sum, operation) => sum + outputValues(operation), inputCount(model));
  if (values > MAX_PREDICTION_VALUES)
    return (
      `computes ${values} values for a picture, more than ${MAX_PREDICTION_VALUES} ` +
      '(MAX_PREDICTION_VALUES)'
    );
  const count = all.reduce((sum, operation) => sum + operationCount(operation), 0);
  if (count > MAX_PREDICTION_OPERATIONS)
    return (
      `needs ${count} operations for a picture, more than ${MAX_PREDICTION_OPERATIONS} ` +
      '(MAX_PREDICTION_OPERATIONS)'
    );
  return undefined;
}

/** Multiplications of a layer, or the values that its windows cover. */
function operationCount(operation: Operation): number {
  switch (operation.kind) {
    case 'dense':
      return operation.inputs * operation.units;
    case 'dropout':
      return operation.units;
    case 'conv2d':
    case 'max_pooling2d':
    case 'average_pooling2d': {
      const [height, width] = operation.window.size;
      const channels = operation.kind === 'conv2d' ? operation.from.channels : 1;
      return valuesOf(operation.to) * height * width * channels;
    }
  }
}

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
