import { expect, it } from 'vitest';
import { evaluationOf } from '../../../coordinator/evaluator.ts';
import { denseModel } from '../../../shared/arithmetic/model-shape.ts';
import { DEFAULT_MAX_WORKER_MEMORY_BYTES } from '../../../shared/limits.ts';
import { checkWorkerMemory } from '../../../shared/memory-needs.ts';
import { configuration, dataset } from '../../fixtures/recorded-run.ts';

it("an evaluation does not need memory for one of the run's batches", () => {
  const model = denseModel([28, 28], [512, 512, 512, 512], 0, 10);
  const run = { ...configuration, model, batchSize: 65_536, virtualShards: 1 };
  const check = (of: typeof run) =>
    checkWorkerMemory(of, 'tensorflow', DEFAULT_MAX_WORKER_MEMORY_BYTES);
  expect(() => check(run)).toThrow(expect.objectContaining({ code: 'LIMIT' }));
  expect(() => check(evaluationOf(run, dataset))).not.toThrow();
});
