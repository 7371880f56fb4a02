import { describe, expect, it } from 'vitest';
import { encodeCheckpoint } from '../../../shared/files/checkpoint-file.ts';
import { parameterCount } from '../../../shared/arithmetic/model-shape.ts';
import { stateNames, type Optimizer } from '../../../shared/arithmetic/optimizer.ts';
import { checkFileSizes, largestFileBytes } from '../../../shared/file-needs.ts';
import { configurationFixture } from '../../fixtures/configuration.ts';

const optimizers: readonly Optimizer[] = [
  configurationFixture.optimizer,
  { kind: 'sgd', momentum: 0, nesterov: false },
  { kind: 'sgd', momentum: 0.9, nesterov: false },
];

describe("a run's largest file", () => {
  it.each(optimizers)('is a checkpoint: %j', (optimizer) => {
    const configuration = { ...configurationFixture, optimizer };
    const vector = () => new Float32Array(parameterCount(configuration.model));
    const { length } = encodeCheckpoint({
      configuration,
      step: 1,
      evaluated: { test: 0, validation: 0 },
      chain: '0'.repeat(64),
      fingerprint: '0'.repeat(64),
      weights: vector(),
      state: stateNames(optimizer).map(vector),
    });
    const bytes = largestFileBytes(configuration, 1);
    expect(bytes).toBeLessThanOrEqual(length);
    expect(bytes).toBeGreaterThan(0.98 * length);
  });

  it('is metrics.jsonl if there are many steps', () => {
    const step = {
      kind: 'step',
      step: 1,
      epoch: 1,
      samples: 1,
      loss: 1.1,
      correct: 0,
      milliseconds: 1,
      learning_rate: 0.1,
      weights: '0'.repeat(16),
      chain: '0'.repeat(64),
      digest: '0'.repeat(16),
    };
    expect(largestFileBytes(configurationFixture, 1e6)).toBeLessThan(
      1e6 * JSON.stringify(step).length,
    );
    expect(largestFileBytes(configurationFixture, 1e6)).toBeGreaterThan(1e8);
  });

  it('must be within the limit of the process', () => {
    const bytes = largestFileBytes(configurationFixture, 1);
    checkFileSizes(configurationFixture, 1, bytes);
    checkFileSizes(configurationFixture, 1, undefined);
    expect(() => checkFileSizes(configurationFixture, 1, bytes - 1)).toThrow(
      expect.objectContaining({ code: 'LIMIT', fix: expect.stringContaining('ulimit -f') }),
    );
  });
});
