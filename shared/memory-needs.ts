import type { Configuration } from './configuration.ts';
import type { EngineKind } from './engine-identity.ts';
import { ClusterError } from './errors.ts';
import {
  MAX_GRAPH_SHARDS,
  MAX_KERNEL_MEMORY_BYTES,
  RESULT_FRAMES,
  SHARED_MEMORY_BUFFERS,
} from './limits.ts';
import { counted } from './text/number-format.ts';
import {
  inputCount,
  modelOperations,
  outputValues,
  parameterCount,
  valuesOf,
  type ModelShape,
} from './arithmetic/model-shape.ts';
import { evaluationRows, needsSecondChannel } from './arithmetic/model-size.ts';
import { modelText } from './arithmetic/model-text.ts';
import { stateNames } from './arithmetic/optimizer.ts';

const FLOAT_BYTES = 4;

/** The settings that determine how much memory a worker needs. */
export type Needing = Pick<Configuration, 'virtualShards' | 'batchSize'> & {
  readonly model: ModelShape;
};

/** The settings that determine how much memory a coordinator needs. */
type CoordinatorNeeding = Pick<Needing, 'model' | 'virtualShards'> &
  Pick<Configuration, 'optimizer'>;

interface Copies {
  /** Copies of the inputs and the dropout masks of all shards that are computed together. */
  readonly fed: number;
  /** Copies of one shard's inputs and of its activations. */
  readonly inputs: number;
  readonly activations: number;
  /** Copies of what convolutions and pooling compute for one shard. */
  readonly images: number;
  /** Copies of the patches of all convolutions, for one shard. */
  readonly patches: number;
  /** Copies of the parameters, for each of the shards that are computed together. */
  readonly parameters: number;
}

/**
 * The largest number of copies that an engine holds at a time, fitted to measurements of a worker's
 * peak memory (VmHWM). The table shows by how many MiB two steps on one processor exceed the peak
 * with `--hidden 8 --batch-size 32`, which includes the dataset and the library: 159 MiB with wasm,
 * 418 MiB with tensorflow (TensorFlow 2.21, one thread). "D" stands for --dropout 0.2, "x 8" for
 * eight layers:
 *
 *     --hidden    --batch-size  --virtual-shards     tensorflow  wasm
 *     8                 65,536                 1           1003
 *     8                 16,384                 1                  249
 *     256 x 8            4,096                 1            135   336
 *     512,512 D         65,536                 8           2259
 *     512,512 D         65,536                64           1284
 *     512,512 D         32,768                 8           1133
 *     512,512 D         16,384                 1            576  1010 (before its second batch)
 *     2048,2048 D        1,024                 8            599   388 (before its second batch)
 *     convnet            1,024                 1            384  1656
 *     convnet            2,048                 1            705  3206
 *     convnet            4,096                 8            264   897
 */
const copies: Readonly<Record<EngineKind, Copies>> = {
  tensorflow: {
    fed: 2.2,
    inputs: 1,
    activations: 2.5,
    images: 2.3,
    patches: 0,
    parameters: 2.5,
  },
  wasm: {
    fed: 2,
    inputs: 1,
    activations: 9,
    images: 9,
    patches: 2.5,
    parameters: 6,
  },
  reference: {
    fed: 1,
    inputs: 1,
    activations: 9,
    images: 9,
    patches: 0,
    parameters: 6,
  },
};

/**
 * Bytes that a coordinator needs for the frames with weights, the optimizer's state, and a gradient
 * per shard.
 */
export function coordinatorBytes({ model, virtualShards, optimizer }: CoordinatorNeeding): number {
  const vectors = SHARED_MEMORY_BUFFERS + stateNames(optimizer).length + virtualShards + 1;
  return FLOAT_BYTES * (parameterCount(model) + 1) * vectors;
}

/** Bytes that a worker needs besides the dataset: batches, frames for results, and the engine. */
export function workerBytes(configuration: Needing, engine: EngineKind): number {
  const { model, virtualShards, batchSize } = configuration;
  const shardRows = Math.ceil(batchSize / virtualShards);
  const shardsAtOnce = engine === 'tensorflow' ? Math.min(virtualShards, MAX_GRAPH_SHARDS) : 1;
  const inputs = inputCount(model);
  const { vectors: units, images, masks, patches, widest } = valuesPerRow(model);
  const parameters = parameterCount(model) + 1;
  const factor = copies[engine];
  // The batches of the current step and of the next one.
  const batches = 2 * virtualShards * shardRows * (inputs + masks + 1);
  // Weights, results in transit, and a partial sum for each level of the tree.
  const vectors = parameters * (1 + RESULT_FRAMES + 1 + Math.log2(virtualShards));
  const row = factor.inputs * inputs + factor.activations * units + factor.patches * patches;
  // The results of several shards in the widest layer are copied when they are joined.
  const joined = shardsAtOnce === 1 || images > 0 ? 0 : widest;
  const fed = factor.fed * (inputs + masks) + joined;
  const training = shardRows * (shardsAtOnce * fed + row + factor.images * images);
  const evaluation = evaluationRows(model) * (factor.fed * inputs + row + factor.images * images);
  const widened = engine === 'tensorflow' ? widenedFloats(model, shardRows) : 0;
  const engineFloats =
    Math.max(training, evaluation) + widened + shardsAtOnce * factor.parameters * parameters;
  return FLOAT_BYTES * (batches + vectors + engineFloats);
}

/** Throws LIMIT, before anything is allocated, if the coordinator would need too much memory. */
export function checkCoordinatorMemory(of: CoordinatorNeeding): void {
  const bytes = coordinatorBytes(of);
  if (bytes <= MAX_KERNEL_MEMORY_BYTES) return;
  throw new ClusterError(
    'LIMIT',
    `the model ${modelText(of.model)} with ${of.virtualShards} virtual shards needs ` +
      `${sizeText(bytes)} in the coordinator, more than ${sizeText(MAX_KERNEL_MEMORY_BYTES)}`,
    { fix: 'use a smaller model or fewer --virtual-shards' },
  );
}

/**
 * Throws LIMIT, before anything is allocated, if the run needs more memory in a worker than
 * `maxBytes`.
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
    `the model ${modelText(model)} with a batch of ${batchSize} in ${virtualShards} shards needs ` +
      `${sizeText(bytes)} in a worker with the engine ${engine}, ` +
      `more than ${sizeText(maxBytes)} (--max-memory-bytes)`,
    {
      fix:
        'raise --max-memory-bytes if this machine has the memory, or use a smaller --batch-size ' +
        'or model, or more --virtual-shards',
    },
  );
}

/**
 * Copies of a shard's images and of the kernel while a convolution has a second channel of zeros:
 * the zeros, both channels, and what the library copies of these.
 */
const WIDENED_COPIES = 5;

/** The largest number of values that a second channel adds to a convolution. */
function widenedFloats(model: ModelShape, shardRows: number): number {
  const rows = Math.max(shardRows, evaluationRows(model));
  const sizes = modelOperations(model).map((operation) => {
    if (operation.kind !== 'conv2d' || !needsSecondChannel(operation)) return 0;
    const kernel = operation.biasOffset - operation.kernelOffset;
    return WIDENED_COPIES * (rows * valuesOf(operation.from) + kernel);
  });
  return Math.max(...sizes);
}

interface RowValues {
  /** Values that dense layers compute. */
  readonly vectors: number;
  /** Values that convolutions and pooling compute. */
  readonly images: number;
  readonly masks: number;
  /** Values of the windows of all convolutions. */
  readonly patches: number;
  /** Values of the widest dense layer. */
  readonly widest: number;
}

function valuesPerRow(model: ModelShape): RowValues {
  let [vectors, images, masks, patches, widest] = [0, 0, 0, 0, 0];
  for (const operation of modelOperations(model)) {
    if (operation.kind === 'dropout') {
      masks += operation.units;
      continue;
    }
    if (operation.kind === 'dense') {
      vectors += operation.units;
      widest = Math.max(widest, operation.units);
    } else images += outputValues(operation);
    if (operation.kind !== 'conv2d') continue;
    const { from, to, window } = operation;
    patches += to.height * to.width * window.size[0] * window.size[1] * from.channels;
  }
  return { vectors, images, masks, patches, widest };
}

/** 1 -> "1 byte", 3_250_586 -> "3.1 MiB" */
function sizeText(bytes: number): string {
  const power = Math.min(3, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const unit = ['byte', 'KiB', 'MiB', 'GiB'][power] ?? '';
  return power === 0 ? counted(bytes, unit) : `${(bytes / 1024 ** power).toFixed(1)} ${unit}`;
}
