import type { Kernels } from '../../kernels/kernels.ts';
import { assert } from '../../shared/errors.ts';
import type { Batch, Engine } from './engine.ts';

/**
 * An engine for subtrees of any size made of one for single shards: the shards' vectors are summed in the fixed tree
 * by the kernel that the coordinator uses too, so grouping cannot change a byte. `floats` is P + 1. Takes one vector
 * per level of the largest subtree from the kernels' memory (summedByKernelBytes).
 */
export function summedByKernel(engine: Engine, kernels: Kernels, floats: number, maxShards: number): Engine {
  // scratch[l] is where the left sibling waits at depth l of the walk.
  const scratch = Array.from({ length: levels(maxShards) }, () => kernels.allocate(4 * floats));
  const views = scratch.map((at) => kernels.floats(at, floats));
  const shardsOf = new WeakMap<Batch, readonly Batch[]>();

  function singleShards(batch: Batch): readonly Batch[] {
    const known = shardsOf.get(batch);
    if (known !== undefined) return known;
    const split = splitBatch(batch);
    shardsOf.set(batch, split);
    return split;
  }

  /** Leaves the sum of shards [first, first + count) in scratch[depth]; returns the rows that were right. */
  function sum(
    weights: Float32Array,
    shards: readonly Batch[],
    first: number,
    count: number,
    depth: number,
  ): number {
    const view = views[depth];
    const shard = shards[first];
    assert(
      view !== undefined && shard !== undefined,
      `a subtree of ${shards.length} shards, at most ${maxShards}`,
    );
    if (count === 1) return engine.partialSum(weights, shard, view);
    const left = sum(weights, shards, first, count / 2, depth);
    const right = sum(weights, shards, first + count / 2, count / 2, depth + 1);
    kernels.add(scratch[depth] ?? 0, scratch[depth + 1] ?? 0, floats);
    return left + right;
  }

  return {
    description: engine.description,
    partialSum(weights, batch, out) {
      if (batch.shards === 1) return engine.partialSum(weights, batch, out);
      const correct = sum(weights, singleShards(batch), 0, batch.shards, 0);
      out.set(views[0] ?? []);
      return correct;
    },
    predict: (weights, inputs, labels, out) => engine.predict(weights, inputs, labels, out),
    tensorCount: () => engine.tensorCount(),
    dispose: () => engine.dispose(),
  };
}

/** What summedByKernel takes from the kernels' memory. */
export function summedByKernelBytes(floats: number, maxShards: number): number {
  return levels(maxShards) * Math.ceil((4 * floats) / 64) * 64;
}

function levels(maxShards: number): number {
  return maxShards === 1 ? 0 : 1 + Math.ceil(Math.log2(maxShards));
}

/** The batch's shards, one by one, as views of its arrays. */
export function splitBatch(batch: Batch): readonly Batch[] {
  return Array.from({ length: batch.shards }, (_, i) => sliceBatch(batch, i, 1));
}

/** `count` shards of the batch from shard `first` on, as views of its arrays. */
export function sliceBatch(batch: Batch, first: number, count: number): Batch {
  const { shards, rowsPerShard } = batch;
  const slice = <T extends Float32Array | Int32Array>(array: T, cut: (from: number, to: number) => T): T => {
    const length = array.length / shards;
    return cut(first * length, (first + count) * length);
  };
  const floats = (array: Float32Array) => slice(array, (from, to) => array.subarray(from, to));
  return {
    shards: count,
    rowsPerShard,
    inputs: floats(batch.inputs),
    labels: slice(batch.labels, (from, to) => batch.labels.subarray(from, to)),
    masks: batch.masks.map(floats),
    scale: floats(batch.scale),
  };
}
