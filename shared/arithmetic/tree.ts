/**
 * The fixed binary tree over a batch's V virtual shards (V a power of two). A node is its heap
 * index: the root is 1, the children of n are 2n and 2n + 1, the leaves V .. 2V - 1 are shards 0 ..
 * V - 1. The value of a node is left + right in float32, whoever computes it; that is why the sum
 * has the same bytes for any number of workers.
 */
export type Node = number;

export const ROOT: Node = 1;

/** How many shards the subtree at `node` covers. */
export function shardCount(node: Node, virtualShards: number): number {
  return virtualShards >> (31 - Math.clz32(node));
}

/** The first shard the subtree at `node` covers. */
export function firstShard(node: Node, virtualShards: number): number {
  return node * shardCount(node, virtualShards) - virtualShards;
}

export function isNode(node: number, virtualShards: number): boolean {
  return Number.isInteger(node) && node >= ROOT && node < 2 * virtualShards;
}

/** Whether the subtree at `node` holds at least one of the first `realShards` shards. */
export function hasReal(node: Node, virtualShards: number, realShards: number): boolean {
  return firstShard(node, virtualShards) < realShards;
}

/** Whether the subtree at `node` holds none but the first `realShards` shards. */
export function isReal(node: Node, virtualShards: number, realShards: number): boolean {
  return firstShard(node, virtualShards) + shardCount(node, virtualShards) <= realShards;
}

/** The fewest subtrees that hold exactly the first `realShards` shards, from left to right. */
export function cover(virtualShards: number, realShards: number, node: Node = ROOT): Node[] {
  if (!hasReal(node, virtualShards, realShards)) return [];
  if (isReal(node, virtualShards, realShards)) return [node];
  return [
    ...cover(virtualShards, realShards, 2 * node),
    ...cover(virtualShards, realShards, 2 * node + 1),
  ];
}
