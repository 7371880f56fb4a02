import { namedTensors, parameterCount, type ModelShape } from '../arithmetic/model-shape.ts';
import { tensorsLike, type Tensor, type TensorFile } from './safetensors.ts';

/**
 * A vector of P floats, such as the weights, as the model's tensors by name; `prefix` comes before
 * each name. The tensors are views of the vector.
 */
export function parameterTensors(model: ModelShape, vector: Float32Array, prefix = ''): Tensor[] {
  return namedTensors(model).map(({ name, shape, offset, length }) => ({
    name: `${prefix}${name}`,
    shape,
    data: vector.subarray(offset, offset + length),
  }));
}

/** The inverse; undefined unless the file has exactly the model's tensors. */
export function parametersOf(model: ModelShape, file: TensorFile): Float32Array | undefined {
  const expected = namedTensors(model);
  const tensors = tensorsLike(expected, file);
  if (tensors === undefined) return undefined;
  const vector = new Float32Array(parameterCount(model));
  for (const [i, { offset }] of expected.entries()) vector.set(tensors[i]?.data ?? [], offset);
  return vector;
}
