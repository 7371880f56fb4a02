import { assignStep } from '../../coordinator/decisions/plan.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { MNIST_SHAPE } from '../../shared/dataset/dataset.ts';
import { denseModel } from '../../shared/arithmetic/model-shape.ts';
import type { UpdateRecipe } from '../../shared/kernels/update.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';

/** The model and settings that `local` uses by default. */
export const HIDDEN: readonly number[] = [128];
export const DROPOUT = 0.2;
const { rows, columns, classes } = MNIST_SHAPE;
export const MODEL = denseModel([rows, columns], HIDDEN, DROPOUT, classes);
export const SEED = 1;
export const UPDATE: Omit<UpdateRecipe, 'model'> = {
  optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
  learningRate: 0.001,
  schedule: { kind: 'constant' },
  warmup: 0,
  weightDecay: 0,
};

/** For each worker that computes in a step, the sizes of its subtrees in shards. */
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

/** The possible sizes of a subtree in a batch: 1, 2, 4, ... V shards. */
export function shardCounts(batchSize: number): number[] {
  const levels = Math.log2(defaultVirtualShards(batchSize)) + 1;
  return Array.from({ length: levels }, (_, level) => 2 ** level);
}
