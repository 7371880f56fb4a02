import {
  biasLength,
  parametricOperations,
  type ModelShape,
} from '../shared/arithmetic/model-shape.ts';
import type { Batch } from './engines/engine.ts';

/**
 * Weights of -1, 0 and 1 times a power of two, with the signs of `weights`, and biases of the same
 * size. With coarse inputs, the sums of a convolution are exact and take few values, so that many
 * windows of a pooling layer contain their maximum more than once, also above 0. Which of them gets
 * the gradient then shows in the gradient of the kernel. With initial weights, the only equal
 * values are zeros, which ReLU excludes from the gradient.
 */
export function coarseWeights(model: ModelShape, weights: Float32Array): Float32Array {
  const coarse = new Float32Array(weights.length);
  for (const operation of parametricOperations(model)) {
    const { kernelOffset, biasOffset } = operation;
    const kernel = weights.subarray(kernelOffset, biasOffset);
    const largest = kernel.reduce((max, weight) => Math.max(max, Math.abs(weight)), 0);
    const units = biasLength(operation);
    const size = 2 ** -Math.ceil(Math.log2(kernel.length / units) / 2);
    kernel.forEach((weight, i) => {
      const isLarge = Math.abs(weight) > largest / 3;
      coarse[kernelOffset + i] = isLarge ? Math.sign(weight) * size : 0;
    });
    for (let i = 0; i < units; i++) coarse[biasOffset + i] = i % 3 === 1 ? -size : size;
  }
  return coarse;
}

/** The batch with inputs of 0 and 1. */
export function coarseInputs(batch: Batch): Batch {
  return { ...batch, inputs: batch.inputs.map((value) => (value < 0.5 ? 0 : 1)) };
}
