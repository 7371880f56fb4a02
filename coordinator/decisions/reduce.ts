import { hasReal, ROOT, type Node } from '../../shared/arithmetic/tree.ts';
import type { Effect } from './effects.ts';
import type { Task } from './task.ts';

/**
 * The reduction: a fixed binary tree over the batch's shards. When both children of a node have
 * arrived, the shell adds them, left + right; a right child with only padding counts as +0. The
 * order of arrival affects when a sum is made, never which sums are made, so any number of workers
 * gives the same bytes.
 */
export interface Reduction {
  readonly sums: ReadonlySet<Node>;
  readonly effects: readonly Effect[];
  /** Whether the root has its sum, the batch's gradient. */
  readonly complete: boolean;
}

/** Adds the sum at `node`, and combines upwards while the siblings' sums are known. */
export function takeSum(
  task: Pick<Task, 'sums'>,
  node: Node,
  virtualShards: number,
  realShards: number,
): Reduction {
  const sums = new Set(task.sums);
  const effects: Effect[] = [];
  let top = node;
  while (top !== ROOT) {
    const sibling = top ^ 1;
    const siblingIsPadding = !hasReal(sibling, virtualShards, realShards);
    if (!siblingIsPadding && !sums.delete(sibling)) break;
    top >>= 1;
    effects.push({ kind: 'combine', node: top, rightIsPadding: siblingIsPadding });
  }
  sums.add(top);
  return { sums, effects, complete: top === ROOT };
}
