import { planStep } from '../../shared/arithmetic/schedule.ts';
import {
  evaluatedSets,
  setAfterEpochs,
  type EvaluatedSet,
} from '../../shared/evaluation/evaluated-set.ts';
import { assert } from '../../shared/errors.ts';
import { REMEMBERED_STEPS } from '../../shared/limits.ts';
import type { Next } from './effects.ts';
import type { RunState } from './state.ts';

/**
 * Closes the open step. Its results are remembered for REMEMBERED_STEPS steps, so that late results
 * can be checked.
 */
export function closeStep(state: RunState): RunState {
  const closed = [
    ...state.closed.slice(1 - REMEMBERED_STEPS),
    ...(state.task === undefined ? [] : [state.task]),
  ];
  return { ...state, step: state.step + 1, task: undefined, closed, isProven: true };
}

/** Records the step just completed, and writes a checkpoint when one is due. */
export function recordStep(state: RunState, now: number): Next {
  if (!isCheckpointDue(state, now)) return { state, effects: [{ kind: 'record' }] };
  const saved = { ...state, checkpoint: { step: state.step, at: now } };
  return { state: saved, effects: [{ kind: 'record' }, { kind: 'checkpoint' }] };
}

function isCheckpointDue({ checkpoint, settings, step }: RunState, now: number): boolean {
  const { checkpointEvery: every } = settings;
  return 'steps' in every
    ? step - checkpoint.step >= every.steps
    : step > checkpoint.step && now - checkpoint.at >= every.milliseconds;
}

/** Closes the open evaluation, whose result has been recorded. */
export function closeEvaluation(state: RunState): RunState {
  const { step, evaluated, task } = state;
  assert(task !== undefined && task.kind !== 'step', 'an evaluation is open');
  return { ...state, evaluated: { ...evaluated, [task.kind]: step }, task: undefined };
}

/**
 * The set on which to evaluate the current weights next; undefined if there is none. One set is
 * evaluated after each epoch and at the end; if that is the validation set, the test set follows at
 * the end. With `evaluateAfter`, its steps count instead.
 */
export function dueEvaluation({ step, evaluated, settings }: RunState): EvaluatedSet | undefined {
  if (step === 0) return undefined;
  const { configuration, totalSteps, evaluateAfter } = settings;
  const isDue = (set: EvaluatedSet): boolean => {
    if (evaluateAfter !== undefined) return evaluateAfter[set].has(step);
    const isEpochs = set === setAfterEpochs(configuration);
    if (step === totalSteps) return isEpochs || set === 'test';
    return isEpochs && planStep(configuration, step).endsEpoch;
  };
  return evaluatedSets.find((set) => evaluated[set] < step && isDue(set));
}
