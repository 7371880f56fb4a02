import { MAX_DEFAULT_VIRTUAL_SHARDS, MIN_DEFAULT_SHARD_ROWS } from '../limits.ts';

/**
 * The largest power of two up to 8 that leaves at least 8 samples per shard; 1 for tiny batches.
 */
export function defaultVirtualShards(batchSize: number): number {
  let shards = 1;
  while (
    2 * shards <= MAX_DEFAULT_VIRTUAL_SHARDS &&
    2 * shards * MIN_DEFAULT_SHARD_ROWS <= batchSize
  ) {
    shards *= 2;
  }
  return shards;
}
