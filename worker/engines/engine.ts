import { cpus } from 'node:os';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';

/** The batch of one subtree in one step: `shards` shards of `rowsPerShard` rows, with padding. */
export interface Batch {
  readonly shards: number;
  readonly rowsPerShard: number;
  /** [rows, inputs] float32(pixel / 255); zeros in padding. */
  readonly inputs: Float32Array;
  /** [rows] class of each row; -1 in padding. */
  readonly labels: Int32Array;
  /**
   * One [rows, units] mask for each dropout operation, each value 0 or float32(1 / (1 - rate)).
   */
  readonly masks: readonly Float32Array[];
  /**
   * [rows] factor by which each row's loss and its gradient are scaled: float32(1 / samples in the
   * step); 0 in padding.
   */
  readonly scale: Float32Array;
}

/** The sizes of training steps and evaluations, fixed so that graphs can be built in advance. */
export interface EngineShape {
  readonly model: ModelShape;
  readonly rowsPerShard: number;
  /** The sizes of subtrees in use, in shards: powers of two. */
  readonly shardCounts: readonly number[];
  /** Rows in one evaluation chunk. */
  readonly evaluationRows: number;
  /** The label smoothing of the training loss; 0 if absent. Evaluations have none. */
  readonly labelSmoothing?: number | undefined;
}

/**
 * Computes gradients and predictions. All calls are synchronous: a step takes less than a
 * millisecond, and the worker has nothing else to do. `weights` is the parameter vector described
 * in shared/arithmetic/model-shape.ts. An engine must not keep a reference to its arguments after a
 * call.
 */
export interface Engine {
  readonly description: EngineIdentity;
  /**
   * Writes the subtree's partial sum to `out`: P gradient values, then the loss. A shard's vector
   * is the gradient of sum(scale * loss); the vectors are summed in the fixed binary tree in
   * float32. Returns the number of correct rows (ties go to the lowest class; padding does not
   * count).
   */
  partialSum(weights: Float32Array, batch: Batch, out: Float32Array): number;
  /**
   * For each of `evaluationRows` rows, writes the predicted class (argmax of the logits), the loss,
   * and one probability per class, all as float32. `labels` is -1 for padding rows, whose output is
   * meaningless.
   */
  predict(weights: Float32Array, inputs: Float32Array, labels: Int32Array, out: Float32Array): void;
  /** Number of live tensors in the library, for leak checks; 0 if the engine has no tensors. */
  tensorCount(): number;
  dispose(): void;
}

export interface EngineOptions {
  /** Threads per operation (TensorFlow only); the computed bytes may depend on it. */
  readonly threads: number;
  /** "auto", "cpu" or "cuda:N". */
  readonly device: string;
}

/** Index, relative to `start`, of the largest of `count` values; ties go to the lowest index. */
export function argmax(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++)
    if ((values[start + i] ?? 0) > (values[start + best] ?? 0)) best = i;
  return best;
}

/**
 * Counts the rows of [rows, classes] logits whose argmax is the label. Rows with label -1 are never
 * counted.
 */
export function countCorrect(
  logits: ArrayLike<number>,
  labels: Int32Array,
  classes: number,
): number {
  let correct = 0;
  for (let row = 0; row < labels.length; row++) {
    if (argmax(logits, row * classes, classes) === labels[row]) correct++;
  }
  return correct;
}

/** The processor's model name. An engine's bytes may depend on the processor. */
export function processorName(): string {
  return cpus()[0]?.model.trim().slice(0, 200) || process.arch;
}

/** items[index], which must exist. */
export function item<T>(items: readonly T[], index: number): T {
  const found = items[index];
  if (found === undefined) throw new Error(`invariant broken: no item ${index} of ${items.length}`);
  return found;
}
