import { canonicalConfiguration, type Configuration } from './configuration.ts';
import { namedTensors } from './model.ts';
import { encodeTensors } from './safetensors.ts';

export interface ModelFile {
  readonly configuration: Configuration;
  /** The step after which the weights are these. */
  readonly step: number;
  /** The link of that step (chain.ts). */
  readonly chain: string;
  /** P floats, laid out as shared/model.ts says. */
  readonly weights: Float32Array;
}

/**
 * model.safetensors: the weights by name. Nothing in it depends on when, where or by how many the model was trained,
 * so its SHA-256 is the run's.
 */
export function encodeModel({ configuration, step, chain, weights }: ModelFile): Uint8Array {
  return encodeTensors({
    metadata: { configuration: canonicalConfiguration(configuration), step: String(step), chain },
    tensors: namedTensors(configuration.model).map(({ name, shape, offset, length }) => ({
      ...{ name, shape, data: weights.subarray(offset, offset + length) },
    })),
  });
}
