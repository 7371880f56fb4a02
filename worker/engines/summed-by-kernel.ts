import type { Kernels } from '../../shared/kernels/kernels.ts';
import { assert } from '../../shared/errors.ts';
import type { Batch, Engine } from './engine.ts';

export interface SummedSizes {
  /** The length of a partial sum: P + 1. */
  readonly floats: number;
  /** The largest subtree that will be requested, in shards. */
  readonly maxShards: number;
  /**
   * The largest subtree that the engine itself computes, in shards. Both sizes are powers of two.
   */
  readonly unitShards: number;
}

/**
 * Turns an engine for small subtrees (units) into an engine for subtrees of any size. The kernel
 * that the coordinator uses adds the units' vectors in the fixed tree, so if the units are single
 * shards, grouping cannot change a byte. Allocates one vector per level above the units, and one
 * more, in the kernels' memory (summedByKernelBytes).
 */
export function summedByKernel(engine: Engine, kernels: Kernels, sizes: SummedSizes): Engine {
  const { floats, maxShards, unitShards } = sizes;
  // scratch[l] holds the left sibling's sum at depth l of the walk.
  const scratch = Array.from({ length: levels(sizes) }, () => kernels.allocate(4 * floats));
  const views = scratch.map((at) => kernels.floats(at, floats));
  const unitsOf = new WeakMap<Batch, readonly Batch[]>();

  // A batch builder returns the same objects repeatedly, so the split batches are cached.
  function units(batch: Batch): readonly Batch[] {
    const known = unitsOf.get(batch);
    if (known !== undefined) return known;
    const split = splitBatch(batch, unitShards);
    unitsOf.set(batch, split);
    return split;
  }

  /**
   * Leaves the sum of units [first, first + count) in scratch[depth]; returns the number of correct
   * rows.
   */
  function sum(
    weights: Float32Array,
    parts: readonly Batch[],
    first: number,
    count: number,
    depth: number,
  ): number {
    const view = views[depth];
    const part = parts[first];
    assert(
      view !== undefined && part !== undefined,
      `a subtree has at most ${maxShards} shards, not ${parts.length * unitShards}`,
    );
    if (count === 1) return engine.partialSum(weights, part, view);
    const left = sum(weights, parts, first, count / 2, depth);
    const right = sum(weights, parts, first + count / 2, count / 2, depth + 1);
    kernels.add(scratch[depth] ?? 0, scratch[depth + 1] ?? 0, floats);
    return left + right;
  }

  return {
    description: engine.description,
    partialSum(weights, batch, out) {
      if (batch.shards <= unitShards) return engine.partialSum(weights, batch, out);
      const correct = sum(weights, units(batch), 0, batch.shards / unitShards, 0);
      out.set(views[0] ?? []);
      return correct;
    },
    predict: (weights, inputs, labels, out) => engine.predict(weights, inputs, labels, out),
    tensorCount: () => engine.tensorCount(),
    dispose: () => engine.dispose(),
  };
}

/** Kernel memory that summedByKernel uses, in bytes. */
export function summedByKernelBytes(sizes: SummedSizes): number {
  return levels(sizes) * Math.ceil((4 * sizes.floats) / 64) * 64;
}

/**
 * Number of vectors in use at the same time: one per level above the units, and the one just
 * computed.
 */
function levels({ maxShards, unitShards }: SummedSizes): number {
  return maxShards <= unitShards ? 0 : 1 + Math.log2(maxShards / unitShards);
}

/** Splits the batch into batches of `unitShards` shards, as views of its arrays. */
export function splitBatch(batch: Batch, unitShards = 1): readonly Batch[] {
  return Array.from({ length: batch.shards / unitShards }, (_, i) =>
    sliceBatch(batch, i * unitShards, unitShards),
  );
}

/** `count` shards of the batch, starting with shard `first`, as views of its arrays. */
function sliceBatch(batch: Batch, first: number, count: number): Batch {
  const { shards, rowsPerShard } = batch;
  const slice = <T extends Float32Array | Int32Array>(
    array: T,
    cut: (from: number, to: number) => T,
  ): T => {
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
