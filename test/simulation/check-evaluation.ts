import { assert } from '../../shared/errors.ts';
import { setAfterEpochs, type EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { EVALUATION_CHUNK_ROWS } from '../../shared/limits/model.ts';
import { taskOrder } from '../../shared/wire/task-order.ts';
import { predictionsOf } from './model.ts';
import type { ExpectedRun } from './run-on-disk.ts';
import type { SimulatedCoordinator } from './simulated-coordinator.ts';

/** Checks that an evaluation is due, and that it was computed with the coordinator's weights. */
export function checkEvaluation(
  { configuration, steps }: ExpectedRun,
  coordinator: SimulatedCoordinator,
  step: number,
  set: EvaluatedSet,
  values: Float32Array,
): void {
  const order = taskOrder(set, step);
  assert(step === coordinator.done, 'only the newest step is evaluated');
  assert(coordinator.evaluated < order, 'each step is evaluated once, validation first');
  const isLast = step === steps.length;
  const isUsual = set === setAfterEpochs(configuration);
  assert(isUsual || isLast, 'the test set is evaluated at the end if there is a validation set');
  coordinator.evaluated = order;
  const weights = coordinator.weights();
  const rows = EVALUATION_CHUNK_ROWS * (2 + configuration.model.classes);
  for (let chunk = 0; chunk * rows < values.length; chunk++) {
    const expected = predictionsOf(configuration, weights, set, chunk);
    const actual = values.subarray(chunk * rows, (chunk + 1) * rows);
    assert(
      actual.every((value, i) => value === expected[i]),
      `chunk ${chunk} of the evaluation was computed with these weights`,
    );
  }
}
