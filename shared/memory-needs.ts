import type { Configuration } from './configuration.ts';
import type { EngineKind } from './engine-identity.ts';
import { ClusterError } from './errors.ts';
import {
  EVALUATION_CHUNK_ROWS,
  MAX_GRAPH_SHARDS,
  MAX_KERNEL_MEMORY_BYTES,
  RESULT_FRAMES,
  SHARED_MEMORY_ROOMS,
} from './limits.ts';
import { parameterCount, type ModelShape } from './arithmetic/model-shape.ts';

const FLOAT_BYTES = 4;

/** What the need for memory depends on. */
export type Needing = Pick<Configuration, 'virtualShards' | 'batchSize' | 'dropout'> & {
  readonly model: ModelShape;
};

interface Copies {
  /** Of inputs and dropout masks, of all shards that it computes at once. */
  readonly fed: number;
  /** Of one shard's inputs and activations. */
  readonly inputs: number;
  readonly activations: number;
  /** For each shard that it computes at once. */
  readonly parameters: number;
}

/**
 * How many copies an engine holds at once, at most. They are fitted to the growth of a worker's
 * peak memory (VmHWM) over that with `--hidden 8 --batch-size 32`, which has the dataset and the
 * library: 159 MiB with wasm, 468 MiB with tensorflow (TensorFlow 2.21, one thread). Measured in
 * MiB with two steps, on one processor; D is --dropout 0.2, x 8 are eight layers:
 *
 *     --hidden    --batch-size  --virtual-shards     tensorflow  wasm
 *     8                 65,536                 1           1017
 *     8                 16,384                 1                  249
 *     256 x 8            4,096                 1            145   336
 *     512,512 D         65,536                 8           2122
 *     512,512 D         65,536                64           1182
 *     512,512 D         32,768                 8           1026
 *     512,512 D         16,384                 1            678  1010 (before its second batch)
 *     2048,2048 D        1,024                 8            670   388 (before its second batch)
 */
const copies: Readonly<Record<EngineKind, Copies>> = {
  tensorflow: { fed: 2.2, inputs: 1, activations: 2.5, parameters: 2.5 },
  wasm: { fed: 2, inputs: 1, activations: 9, parameters: 6 },
  reference: { fed: 1, inputs: 1, activations: 9, parameters: 6 },
};

/**
 * What a coordinator needs for the weights in their frames, Adam's moments, and a gradient for each
 * shard.
 */
export function coordinatorBytes({
  model,
  virtualShards,
}: Pick<Needing, 'model' | 'virtualShards'>): number {
  return FLOAT_BYTES * (parameterCount(model) + 1) * (SHARED_MEMORY_ROOMS + 2 + virtualShards + 1);
}

/**
 * What a worker needs beside the dataset: batches, the frames of its results, and what its engine
 * computes with.
 */
export function workerBytes(configuration: Needing, engine: EngineKind): number {
  const { model, virtualShards, batchSize, dropout } = configuration;
  const shardRows = Math.ceil(batchSize / virtualShards);
  const shardsAtOnce = engine === 'tensorflow' ? Math.min(virtualShards, MAX_GRAPH_SHARDS) : 1;
  const units = sum(model.hidden) + model.classes;
  const masks = dropout > 0 ? sum(model.hidden) : 0;
  const parameters = parameterCount(model) + 1;
  const factor = copies[engine];
  // This step's batch and the next one's.
  const batches = 2 * virtualShards * shardRows * (model.inputs + masks + 1);
  // Weights, results on their way, and a partial sum for each level of the tree.
  const vectors = parameters * (1 + RESULT_FRAMES + 1 + Math.log2(virtualShards));
  const row = factor.inputs * model.inputs + factor.activations * units;
  const training = shardRows * (shardsAtOnce * factor.fed * (model.inputs + masks) + row);
  const evaluation = EVALUATION_CHUNK_ROWS * (factor.fed * model.inputs + row);
  const engineFloats =
    Math.max(training, evaluation) + shardsAtOnce * factor.parameters * parameters;
  return FLOAT_BYTES * (batches + vectors + engineFloats);
}

/** Throws LIMIT, before anything is allocated, for what no coordinator can hold. */
export function checkCoordinatorMemory(of: Pick<Needing, 'model' | 'virtualShards'>): void {
  const bytes = coordinatorBytes(of);
  if (bytes <= MAX_KERNEL_MEMORY_BYTES) return;
  throw new ClusterError(
    'LIMIT',
    `${shapeOf(of.model)} with ${of.virtualShards} virtual shards needs ${gibibytes(bytes)} in the coordinator, more than the ${gibibytes(MAX_KERNEL_MEMORY_BYTES)} that it can hold`,
    { fix: 'use a smaller --hidden or fewer --virtual-shards' },
  );
}

/**
 * Throws LIMIT, before anything is allocated, for a run that takes more of a worker than it may.
 */
export function checkWorkerMemory(
  configuration: Needing,
  engine: EngineKind,
  maxBytes: number,
): void {
  const bytes = workerBytes(configuration, engine);
  if (bytes <= maxBytes) return;
  const { model, batchSize, virtualShards } = configuration;
  throw new ClusterError(
    'LIMIT',
    `${shapeOf(model)} with a batch of ${batchSize} in ${virtualShards} shards needs ${gibibytes(bytes)} in a worker with the engine ${engine}, more than ${gibibytes(maxBytes)} (--max-memory-bytes)`,
    {
      fix: 'raise --max-memory-bytes if this machine has the memory, or train with a smaller --batch-size or --hidden, or more --virtual-shards',
    },
  );
}

function shapeOf({ inputs, hidden, classes }: ModelShape): string {
  return `the model ${[inputs, ...hidden, classes].join('-')}`;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
