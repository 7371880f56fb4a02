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
import { parameterCount, type ModelShape } from './model.ts';

const FLOAT_BYTES = 4;

/** What the need for memory depends on. */
export type Needing = Pick<Configuration, 'virtualShards' | 'batchSize' | 'dropout'> & {
  readonly model: ModelShape;
};

/**
 * How many copies of a shard's inputs, its activations and the parameters an engine holds at once,
 * at most. Measured as growth of a worker's peak memory over that of a tiny configuration.
 */
const copies: Readonly<Record<EngineKind, { inputs: number; activations: number; parameters: number }>> = {
  tensorflow: { inputs: 3, activations: 3, parameters: 4 },
  wasm: { inputs: 3, activations: 9, parameters: 6 },
  reference: { inputs: 2, activations: 9, parameters: 6 },
};

/** What a coordinator needs for the weights in their frames, Adam's moments, and a gradient for each shard. */
export function coordinatorBytes({ model, virtualShards }: Pick<Needing, 'model' | 'virtualShards'>): number {
  return FLOAT_BYTES * (parameterCount(model) + 1) * (SHARED_MEMORY_ROOMS + 2 + virtualShards + 1);
}

/** What a worker needs beside the dataset: batches, the frames of its results, and what its engine computes with. */
export function workerBytes(configuration: Needing, engine: EngineKind): number {
  const { model, virtualShards, batchSize, dropout } = configuration;
  const shardRows = Math.ceil(batchSize / virtualShards);
  const shardsAtOnce = engine === 'tensorflow' ? Math.min(virtualShards, MAX_GRAPH_SHARDS) : 1;
  const units = sum(model.hidden) + model.classes;
  const parameters = parameterCount(model) + 1;
  const factor = copies[engine];
  // This step's batch and the next one's, with their dropout masks.
  const batches = 2 * virtualShards * shardRows * (model.inputs + (dropout > 0 ? sum(model.hidden) : 0) + 1);
  // Weights, results on their way, and a partial sum for each level of the tree.
  const vectors = parameters * (1 + RESULT_FRAMES + 1 + Math.log2(virtualShards));
  const rows = Math.max(shardsAtOnce * shardRows, EVALUATION_CHUNK_ROWS);
  const engineFloats =
    rows * (factor.inputs * model.inputs + factor.activations * units) +
    shardsAtOnce * factor.parameters * parameters;
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

/** Throws LIMIT, before anything is allocated, for a run that takes more of a worker than it may. */
export function checkWorkerMemory(configuration: Needing, engine: EngineKind, maxBytes: number): void {
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
