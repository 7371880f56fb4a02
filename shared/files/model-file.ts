import { z } from 'zod';
import {
  canonicalConfiguration,
  parseConfiguration,
  type Configuration,
} from '../configuration.ts';
import { ClusterError } from '../errors.ts';
import { parameterCount } from '../arithmetic/model-shape.ts';
import { parametersOf, parameterTensors } from './parameter-tensors.ts';
import { decodeTensors, encodeTensors } from './safetensors.ts';

export interface ModelFile {
  readonly configuration: Configuration;
  /** The step that produced these weights. */
  readonly step: number;
  /** The link of that step (chain.ts). */
  readonly chain: string;
  /** P floats, in the layout of shared/arithmetic/model-shape.ts. */
  readonly weights: Float32Array;
}

/**
 * Encodes model.safetensors, the weights by name. Nothing in it depends on when, where or by how
 * many workers the model was trained, so runs with the same configuration produce files with the
 * same SHA-256.
 */
export function encodeModel({ configuration, step, chain, weights }: ModelFile): Uint8Array {
  return encodeTensors({
    metadata: { configuration: canonicalConfiguration(configuration), step: String(step), chain },
    tensors: parameterTensors(configuration.model, weights),
  });
}

const ownSchema = z.object({
  configuration: z.string(),
  step: z.string().regex(/^[1-9]\d{0,15}$/),
  chain: z.string().regex(/^[0-9a-f]{64}$/),
});

/**
 * Reads a model.safetensors file of any configuration. Throws a DATA error that names `file` if the
 * file is damaged or was not written by mnist-dist.
 */
export function readModel(bytes: Uint8Array, file: string): ModelFile {
  const decoded = decodeTensors(bytes, file);
  const said = ownSchema.safeParse(decoded.metadata).data;
  const configuration = said === undefined ? undefined : parseConfiguration(said.configuration);
  if (said === undefined || configuration === undefined)
    throw new ClusterError('DATA', `${file} is a safetensors file, but not a model of mnist-dist`, {
      fix: "use a run's model.safetensors; its metadata describe the model",
    });
  // Memory is allocated for the weights, so the configuration must not claim more of them than the
  // file has.
  if (4 * parameterCount(configuration.model) > bytes.length) throw foreignTensors(file);
  const { step, chain } = said;
  const weights = parametersOf(configuration.model, decoded);
  if (weights === undefined) throw foreignTensors(file);
  return { configuration, step: Number(step), chain, weights };
}

function foreignTensors(file: string): ClusterError {
  return new ClusterError('DATA', `${file} does not have the tensors of its configuration`);
}
