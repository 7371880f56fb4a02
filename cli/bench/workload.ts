import { assignStep } from '../../coordinator/decisions/plan.ts';
import { defaultVirtualShards } from '../../shared/configuration.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';

/** What is measured is the model and the data that `local` trains without flags. */
export const MODEL: ModelShape = { inputs: 784, hidden: [128], classes: 10 };
export const DROPOUT = 0.2;
export const SEED = 1;

/**
 * How a step is spread over workers: for each that computes, the sizes of its subtrees in shards.
 */
export function spreadShards(batchSize: number, workers: number): number[][] {
  const virtualShards = defaultVirtualShards(batchSize);
  const slots = Array.from({ length: workers }, (_, slot) => slot);
  const rowsPerShard = Math.ceil(batchSize / virtualShards);
  const assignment = assignStep(
    slots.map((slot) => ({ slot, milliseconds: 1 })),
    virtualShards,
    Math.ceil(batchSize / rowsPerShard),
  );
  return [...assignment.values()].map((nodes) =>
    nodes.map((node) => shardCount(node, virtualShards)),
  );
}

/** The sizes of subtrees of a batch: 1, 2, 4, ... V shards. */
export function shardCounts(batchSize: number): number[] {
  const levels = Math.log2(defaultVirtualShards(batchSize)) + 1;
  return Array.from({ length: levels }, (_, level) => 2 ** level);
}
