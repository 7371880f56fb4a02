import type { Kernels } from '../shared/kernels/kernels.ts';
import { assert } from '../shared/errors.ts';
import type { Augment } from '../shared/arithmetic/augment.ts';
import { dropoutOperations, inputCount } from '../shared/arithmetic/model-shape.ts';
import type { Dropout, ModelShape } from '../shared/arithmetic/model-shape.ts';
import type { StepPlan } from '../shared/arithmetic/schedule.ts';
import { firstShard, isNode, shardCount } from '../shared/arithmetic/tree.ts';
import type { Node } from '../shared/arithmetic/tree.ts';
import type { Batch } from './engines/engine.ts';
import { AugmentedRows } from './augmented-rows.ts';
import { PixelRows } from './pixel-rows.ts';

/** The parameters that all batches of a run share. */
export interface BatchShape {
  readonly model: ModelShape;
  readonly virtualShards: number;
  readonly rowsPerShard: number;
  readonly seed: number;
  readonly augment?: Augment | undefined;
}

export interface TrainingSet {
  /** [samples, inputs], one byte per pixel. */
  readonly images: Uint8Array;
  /** [samples] */
  readonly labels: Uint8Array;
}

export interface BatchBuilder {
  /**
   * The batch for the subtree at `node` in this step. `order` is the epoch's permutation of the
   * samples. The arrays stay valid until a batch for the step after next is built, so one step can
   * be computed while the next is prepared. Shards that were already built for this step are not
   * built again.
   */
  build(plan: StepPlan, node: Node, order: Uint32Array): Batch;
  /** The same batch without augmentation, in the same memory, for the fingerprint. */
  buildPlain(plan: StepPlan, node: Node, order: Uint32Array): Batch;
}

/**
 * One global batch in memory, row by row. A subtree's batch is a range of its rows, so regrouping
 * does not copy any rows.
 */
interface GlobalBatch {
  readonly inputs: Float32Array;
  readonly labels: Int32Array;
  readonly scale: Float32Array;
  readonly masks: readonly {
    readonly at: number;
    readonly dropout: Dropout;
    readonly values: Float32Array;
  }[];
  /** The step whose rows each shard holds; 0 if none, negative if they lack the augmentation. */
  readonly stepOf: Float64Array;
  /** Views of the subtrees, by node, created on first use. */
  readonly batches: (Batch | undefined)[];
}

/**
 * Kernel memory that a builder uses, in bytes. The kernels write the masks into it, and all arrays
 * are aligned to cache lines.
 */
export function batchBytes(shape: BatchShape): number {
  const rows = shape.virtualShards * shape.rowsPerShard;
  const masks = dropoutOperations(shape.model).map(({ units }) => units);
  const widths = [inputCount(shape.model), ...masks, 1];
  const batch = widths.reduce((sum, width) => sum + Math.ceil((4 * rows * width) / 64) * 64, 0);
  const augmented = shape.augment === undefined ? 0 : AugmentedRows.bytes(shape.model);
  return 2 * batch + PixelRows.bytes(inputCount(shape.model), shape.rowsPerShard) + augmented;
}

export function createBatchBuilder(
  kernels: Kernels,
  shape: BatchShape,
  data: TrainingSet,
): BatchBuilder {
  // Steps alternate between two batches, so the next one can be built while the current one is
  // still in use.
  const even = allocateBatch(kernels, shape);
  const odd = allocateBatch(kernels, shape);
  const pixels = new PixelRows(kernels, inputCount(shape.model), shape.rowsPerShard);
  const { augment } = shape;
  const moves = augment && new AugmentedRows(kernels, shape.model, shape.seed, augment);
  const build = (
    plan: StepPlan,
    node: Node,
    order: Uint32Array,
    augmented: AugmentedRows | undefined,
  ): Batch => {
    assert(
      isNode(node, shape.virtualShards),
      `node ${node} is in the tree over ${shape.virtualShards} shards`,
    );
    assert(
      plan.rowsPerShard === shape.rowsPerShard,
      `a plan has ${shape.rowsPerShard} rows per shard, not ${plan.rowsPerShard}`,
    );
    const global = plan.step % 2 === 0 ? even : odd;
    const built = augmented === moves ? plan.step : -plan.step;
    const first = firstShard(node, shape.virtualShards);
    const end = first + shardCount(node, shape.virtualShards);
    for (let shard = first; shard < end; shard++) {
      if (global.stepOf[shard] === built) continue;
      fillShard(kernels, pixels, shape, data, global, plan, shard, order, augmented);
      global.stepOf[shard] = built;
    }
    return (global.batches[node] ??= viewOf(global, shape, first, end));
  };
  return {
    build: (plan, node, order) => build(plan, node, order, moves),
    buildPlain: (plan, node, order) => build(plan, node, order, undefined),
  };
}

function allocateBatch(kernels: Kernels, shape: BatchShape): GlobalBatch {
  const rows = shape.virtualShards * shape.rowsPerShard;
  const floats = (count: number) => kernels.floats(kernels.allocate(4 * count), count);
  return {
    inputs: floats(rows * inputCount(shape.model)),
    labels: new Int32Array(rows),
    scale: floats(rows),
    masks: dropoutOperations(shape.model).map((dropout) => {
      const values = floats(rows * dropout.units);
      return { at: values.byteOffset, dropout, values };
    }),
    stepOf: new Float64Array(shape.virtualShards),
    batches: Array.from<Batch | undefined>({ length: 2 * shape.virtualShards }),
  };
}

function fillShard(
  kernels: Kernels,
  pixels: PixelRows,
  shape: BatchShape,
  data: TrainingSet,
  global: GlobalBatch,
  plan: StepPlan,
  shard: number,
  order: Uint32Array,
  augmented: AugmentedRows | undefined,
): void {
  const rows = shape.rowsPerShard;
  const inputs = inputCount(shape.model);
  const first = shard * rows;
  const real = Math.max(0, Math.min(rows, plan.samples - first));
  const scale = Math.fround(1 / plan.samples);
  const sampleOf = (row: number) => order[plan.start + first + row] ?? 0;
  const to = global.inputs.byteOffset + 4 * first * inputs;
  const moves = augmented && { rows: augmented, epoch: plan.epoch };
  pixels.write(data.images, sampleOf, real, to, moves);
  for (let row = first; row < first + real; row++) {
    const sample = sampleOf(row - first);
    global.labels[row] = data.labels[sample] ?? 0;
    global.scale[row] = scale;
  }
  global.inputs.fill(0, (first + real) * inputs, (first + rows) * inputs);
  global.labels.fill(-1, first + real, first + rows);
  global.scale.fill(0, first + real, first + rows);
  for (const { at, dropout } of global.masks) {
    const { index: layer, units, rate } = dropout;
    const key = { seed: shape.seed, step: plan.step, position: first, layer };
    kernels.mask(at + 4 * first * units, { ...key, rows, units, rate });
  }
}

function viewOf(
  { inputs, labels, scale, masks }: GlobalBatch,
  shape: BatchShape,
  first: number,
  end: number,
): Batch {
  const from = first * shape.rowsPerShard;
  const to = end * shape.rowsPerShard;
  return {
    shards: end - first,
    rowsPerShard: shape.rowsPerShard,
    inputs: inputs.subarray(from * inputCount(shape.model), to * inputCount(shape.model)),
    labels: labels.subarray(from, to),
    masks: masks.map(({ dropout: { units }, values }) => values.subarray(from * units, to * units)),
    scale: scale.subarray(from, to),
  };
}
