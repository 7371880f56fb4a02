import { planStep } from '../../shared/arithmetic/schedule.ts';
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

/**
 * Whether to evaluate the current weights: after each epoch and at the end, or after the steps in
 * `evaluateAfter`.
 */
export function isEvaluationDue({ step, evaluated, settings }: RunState): boolean {
  const { configuration, totalSteps, evaluateAfter } = settings;
  if (step === 0 || evaluated >= step) return false;
  if (evaluateAfter !== undefined) return evaluateAfter.has(step);
  return step === totalSteps || planStep(configuration, step).endsEpoch;
}
