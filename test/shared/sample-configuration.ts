import type { Configuration } from '../../shared/configuration.ts';

export const sampleConfiguration: Configuration = {
  dataset: 'ab'.repeat(32),
  model: { inputs: 784, hidden: [128], classes: 10 },
  dropout: 0.2,
  batchSize: 32,
  virtualShards: 4,
  learningRate: 0.001,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-7,
  seed: 1,
  epochs: 5,
  trainSamples: 60_000,
  testSamples: 10_000,
};
