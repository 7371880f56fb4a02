import type { ModelShape } from '../arithmetic/model-shape.ts';

/** Number of weights, biases included. */
export function weightCount(model: ModelShape): number {
  return layers(model).reduce((sum, { inputs, units }) => sum + (inputs + 1) * units, 0);
}

/**
 * The probability of each class for one image of [inputs] values from 0 (background) to 1.
 * `weights` are, layer by layer, the kernel [inputs, units] row-major, then the bias [units].
 * Throws RangeError if a length does not fit the model.
 */
export function probabilities(
  model: ModelShape,
  weights: Float32Array,
  picture: Float32Array,
): Float64Array {
  if (weights.length !== weightCount(model) || picture.length !== model.inputs)
    throw new RangeError(
      `${weights.length} weights and ${picture.length} inputs do not fit the model`,
    );
  const all = layers(model);
  let values = Float64Array.from(picture);
  let offset = 0;
  for (const [index, { inputs, units }] of all.entries()) {
    values = dense(weights.subarray(offset, offset + (inputs + 1) * units), values, units);
    if (index < all.length - 1) values = values.map((value) => Math.max(0, value));
    offset += (inputs + 1) * units;
  }
  return softmax(values);
}

function layers(model: ModelShape): { inputs: number; units: number }[] {
  const widths = [model.inputs, ...model.hidden, model.classes];
  return widths.slice(1).map((units, index) => ({ inputs: widths[index] ?? 0, units }));
}

function dense(
  weights: Float32Array,
  inputs: Float64Array,
  units: number,
): Float64Array<ArrayBuffer> {
  const sums = Float64Array.from(weights.subarray(inputs.length * units));
  for (const [row, value] of inputs.entries()) {
    // Most of an image is background.
    if (value === 0) continue;
    for (let unit = 0; unit < units; unit++)
      sums[unit] = (sums[unit] ?? 0) + value * (weights[row * units + unit] ?? 0);
  }
  return sums;
}

function softmax(logits: Float64Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
