import { cpus } from 'node:os';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';

/**
 * One subtree of one step, ready to compute: `shards` shards of `rowsPerShard` rows, padding
 * included.
 */
export interface Batch {
  readonly shards: number;
  readonly rowsPerShard: number;
  /** [rows, inputs] float32(pixel / 255); zeros in padding. */
  readonly inputs: Float32Array;
  /** [rows] class of each row; -1 in padding. */
  readonly labels: Int32Array;
  /**
   * One [rows, units] per hidden layer, each value 0 or float32(1 / (1 - rate)); empty when dropout
   * is 0.
   */
  readonly masks: readonly Float32Array[];
  /**
   * [rows] what scales the row's loss and its logits' gradient: float32(1 / samples of the step), 0
   * in padding.
   */
  readonly scale: Float32Array;
}

/**
 * What a training step and an evaluation look like to an engine; set once, so that graphs can be
 * built ahead.
 */
export interface EngineShape {
  readonly model: ModelShape;
  readonly rowsPerShard: number;
  /** The sizes of subtrees that will be asked for: powers of two. */
  readonly shardCounts: readonly number[];
  readonly hasDropout: boolean;
  /** Rows of one evaluation chunk. */
  readonly evaluationRows: number;
}

/**
 * Computes gradients and predictions. All calls are synchronous: a step takes under a millisecond
 * and the worker has nothing else to do meanwhile. `weights` is the flat parameter vector of
 * shared/arithmetic/model-shape.ts; an engine may keep no reference to any array after a call
 * returns.
 */
export interface Engine {
  readonly description: EngineIdentity;
  /**
   * Writes the subtree's partial sum into `out`: P gradient values, then the loss (P + 1 floats):
   * per shard the gradient of sum(scale * loss), and the shards' vectors summed in the fixed binary
   * tree in float32. Returns how many rows were classified right (ties go to the lowest class;
   * padding counts for nothing).
   */
  partialSum(weights: Float32Array, batch: Batch, out: Float32Array): number;
  /**
   * Writes for each of `evaluationRows` rows: class (argmax of the logits), loss, then one
   * probability per class, all float32. `labels` are -1 in padding, whose rows are written but mean
   * nothing.
   */
  predict(weights: Float32Array, inputs: Float32Array, labels: Int32Array, out: Float32Array): void;
  /** Live tensors of the library, for leak checks; 0 where the engine has none. */
  tensorCount(): number;
  dispose(): void;
}

export interface EngineOptions {
  /** Threads of one operation (TensorFlow only); bytes may depend on it. */
  readonly threads: number;
  /** "auto", "cpu" or "cuda:N". */
  readonly device: string;
}

/** Index, from `start`, of the largest of `count` values; ties go to the lowest index. */
export function argmax(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++)
    if ((values[start + i] ?? 0) > (values[start + best] ?? 0)) best = i;
  return best;
}

/** Number of rows of [rows, classes] logits whose argmax is the label; rows of label -1 never. */
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

/** The model of the processor, on which the bytes of an engine may depend. */
export function processorName(): string {
  return cpus()[0]?.model.trim().slice(0, 200) || process.arch;
}

/** items[index], which must exist. */
export function item<T>(items: readonly T[], index: number): T {
  const found = items[index];
  if (found === undefined) throw new Error(`invariant broken: no item ${index} of ${items.length}`);
  return found;
}
