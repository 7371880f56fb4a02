/**
 * The fixed binary tree over the V virtual shards of a batch (V is a power of two). A node is
 * identified by its heap index: the root is 1, the children of n are 2n and 2n + 1, and the leaves
 * V .. 2V - 1 are the shards 0 .. V - 1. The value of a node is left + right in float32, whichever
 * worker computes it. The sum therefore has the same bytes for any number of workers.
 */
export type Node = number;

export const ROOT: Node = 1;

/** Number of shards in the subtree at `node`. */
export function shardCount(node: Node, virtualShards: number): number {
  return virtualShards >> (31 - Math.clz32(node));
}

/** The first shard of the subtree at `node`. */
export function firstShard(node: Node, virtualShards: number): number {
  return node * shardCount(node, virtualShards) - virtualShards;
}

export function isNode(node: number, virtualShards: number): boolean {
  return Number.isInteger(node) && node >= ROOT && node < 2 * virtualShards;
}

/** Whether the subtree at `node` contains at least one of the first `realShards` shards. */
export function hasReal(node: Node, virtualShards: number, realShards: number): boolean {
  return firstShard(node, virtualShards) < realShards;
}

/** Whether the subtree at `node` contains only shards among the first `realShards`. */
export function isReal(node: Node, virtualShards: number, realShards: number): boolean {
  return firstShard(node, virtualShards) + shardCount(node, virtualShards) <= realShards;
}

/** The fewest subtrees that contain exactly the first `realShards` shards, from left to right. */
export function cover(virtualShards: number, realShards: number, node: Node = ROOT): Node[] {
  if (!hasReal(node, virtualShards, realShards)) return [];
  if (isReal(node, virtualShards, realShards)) return [node];
  return [
    ...cover(virtualShards, realShards, 2 * node),
    ...cover(virtualShards, realShards, 2 * node + 1),
  ];
}
