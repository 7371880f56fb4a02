import { createHash } from 'node:crypto';
import type { ModelShape } from '../arithmetic/model-shape.ts';
import type { Configuration } from '../configuration.ts';
import { assert, ClusterError } from '../errors.ts';
import { shortDigest } from '../printable.ts';
import { parametersOf, parameterTensors } from './parameter-tensors.ts';
import { decodeTensors, encodeTensors } from './safetensors.ts';

/** The SHA-256 of weights: P float32 in the order of the parameters, without any names. */
export function weightsDigest(weights: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest('hex');
}

/**
 * Encodes init.safetensors, the weights that a run begins with, by name. Equal weights of equal
 * models give equal bytes.
 */
export function encodeInit(model: ModelShape, weights: Float32Array): Uint8Array {
  return encodeTensors({
    metadata: { init: weightsDigest(weights) },
    tensors: parameterTensors(model, weights),
  });
}

/**
 * The weights in a run's init.safetensors. Throws a DATA error that names `file` if it is damaged,
 * has the tensors of another model, or has other weights than the recipe says.
 */
export function decodeInit(
  bytes: Uint8Array,
  file: string,
  { model, init }: Configuration,
): Float32Array {
  assert(init !== undefined, 'the recipe says which weights the run begins with');
  const weights = parametersOf(model, decodeTensors(bytes, file));
  if (weights === undefined)
    throw new ClusterError('DATA', `${file} does not have the tensors of the run's model`);
  const digest = weightsDigest(weights);
  if (digest === init) return weights;
  throw new ClusterError(
    'DATA',
    `${file} has other weights than those that the run began with: SHA-256 ` +
      `${shortDigest(digest)} instead of ${shortDigest(init)}`,
  );
}
