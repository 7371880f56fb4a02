import { hasReal, ROOT, type Node } from '../../shared/arithmetic/tree.ts';
import type { Effect } from './effects.ts';
import type { Task } from './task.ts';

/**
 * The reduction: a fixed binary tree over the batch's shards. Whenever both children of a node are
 * there, the shell is told to add them, left + right; a right child that holds padding only counts
 * as +0. In which order the parts arrive changes when a sum is made, never which sums are made: the
 * same bytes for any number of workers.
 */
export interface Reduction {
  readonly sums: ReadonlySet<Node>;
  readonly effects: readonly Effect[];
  /** Whether the batch's gradient is complete. */
  readonly complete: boolean;
}

/** Takes in the sum at `node` and climbs as far as siblings allow. */
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
