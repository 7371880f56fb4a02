import { createKernels } from '../../shared/kernels/kernels.ts';
import type { Kernels } from '../../shared/kernels/kernels.ts';
import { epochOrder, initialWeights } from '../../shared/arithmetic/random.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { batchBytes, createBatchBuilder } from '../../worker/batch.ts';
import type { BatchBuilder, TrainingSet } from '../../worker/batch.ts';
import { engineBytes } from '../../worker/engines/create.ts';
import type { Batch, EngineShape } from '../../worker/engines/engine.ts';

export interface Fixture {
  readonly shape: EngineShape;
  readonly kernels: Kernels;
  readonly weights: Float32Array;
  readonly builder: BatchBuilder;
  readonly data: TrainingSet;
  /** P + 1. */
  readonly floats: number;
  /** The batch of `node` in the first step, or of one with `samples` samples only. */
  batch(node: number, samples?: number): Batch;
}

export interface FixtureOptions {
  readonly hidden: readonly number[];
  readonly dropout?: number;
  readonly batchSize?: number;
  readonly virtualShards?: number;
  readonly inputs?: number;
  readonly evaluationRows?: number;
}

/** A small run on synthetic digits: three pixels of four are black, as in MNIST. */
export function createFixture(options: FixtureOptions): Fixture {
  const {
    hidden,
    dropout = 0.2,
    batchSize = 32,
    virtualShards = 4,
    inputs = 784,
    evaluationRows = 50,
  } = options;
  const model = { inputs, hidden, classes: 10 };
  const rowsPerShard = Math.ceil(batchSize / virtualShards);
  const shardCounts = Array.from({ length: 1 + Math.log2(virtualShards) }, (_, i) => 2 ** i);
  const shape: EngineShape = { model, rowsPerShard, shardCounts, hasDropout: dropout > 0, evaluationRows };
  const batchShape = { model, virtualShards, rowsPerShard, seed: 7, dropout };
  const floats = parameterCount(model) + 1;
  const kernels = createKernels(batchBytes(batchShape) + 3 * engineBytes(shape) + 8 * (4 * floats + 64));
  const data = syntheticData(300, inputs);
  const builder = createBatchBuilder(kernels, batchShape, data);
  const order = epochOrder(7, 1, 300);
  let step = 0;
  return {
    ...{ shape, kernels, builder, data, floats },
    weights: initialWeights(7, model),
    batch(node, samples = batchSize) {
      // Another step each time, so that nothing is taken from before; masks differ with it.
      step += 1;
      const plan = planStep({ trainSamples: 300, batchSize, virtualShards, epochs: 100 }, 1);
      return builder.build(
        { ...plan, step, samples, realShards: Math.ceil(samples / rowsPerShard) },
        node,
        order,
      );
    },
  };
}

function syntheticData(samples: number, inputs: number): TrainingSet {
  let state = 12345;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
  const images = Uint8Array.from({ length: samples * inputs }, () => (next() % 4 === 0 ? next() % 256 : 0));
  return { images, labels: Uint8Array.from({ length: samples }, () => next() % 10) };
}
