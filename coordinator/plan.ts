import { cover, type Node } from '../shared/tree.ts';
import { shardCount } from '../shared/tree.ts';

/** Parts for each slot; a slot without parts stands by. */
export type Assignment = ReadonlyMap<number, readonly number[]>;

/**
 * Spreads a step's subtrees over the slots: as few subtrees as give every slot one, the largest first to whoever has
 * least. Who computes what never changes the bytes, only the time.
 */
export function assignStep(slots: readonly number[], virtualShards: number, realShards: number): Assignment {
  const nodes = split(cover(virtualShards, realShards), slots.length, virtualShards);
  const assignment = new Map<number, Node[]>();
  const shards = new Map<number, number>();
  const bySize = nodes.toSorted(
    (a, b) => shardCount(b, virtualShards) - shardCount(a, virtualShards) || a - b,
  );
  for (const node of bySize) {
    const slot = leastLoaded(slots, shards);
    if (slot === undefined) break;
    assignment.set(slot, [...(assignment.get(slot) ?? []), node]);
    shards.set(slot, (shards.get(slot) ?? 0) + shardCount(node, virtualShards));
  }
  return assignment;
}

/** Contiguous, nearly equal ranges of evaluation chunks. */
export function assignEvaluation(slots: readonly number[], chunks: number): Assignment {
  const assignment = new Map<number, number[]>();
  slots.forEach((slot, i) => {
    const first = Math.floor((i * chunks) / slots.length);
    const end = Math.floor(((i + 1) * chunks) / slots.length);
    if (end > first)
      assignment.set(
        slot,
        Array.from({ length: end - first }, (_, j) => first + j),
      );
  });
  return assignment;
}

/** Halves the largest subtree (the leftmost of equals) until there is one for each worker, or only single shards. */
function split(nodes: readonly Node[], wanted: number, virtualShards: number): Node[] {
  const parts = [...nodes];
  while (parts.length < wanted) {
    const sizes = parts.map((node) => shardCount(node, virtualShards));
    const largest = sizes.indexOf(Math.max(...sizes));
    const node = parts[largest];
    if (node === undefined || sizes[largest] === 1) break;
    parts.splice(largest, 1, 2 * node, 2 * node + 1);
  }
  return parts;
}

function leastLoaded(slots: readonly number[], shards: ReadonlyMap<number, number>): number | undefined {
  let best: number | undefined;
  for (const slot of slots) {
    if (best === undefined || (shards.get(slot) ?? 0) < (shards.get(best) ?? 0)) best = slot;
  }
  return best;
}
