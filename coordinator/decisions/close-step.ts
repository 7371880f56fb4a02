import { REMEMBERED_STEPS } from '../../shared/limits.ts';
import type { Next } from './effects.ts';
import type { RunState } from './state.ts';

/** The open step is done; its results are remembered for a while. */
export function closeStep(state: RunState): RunState {
  const closed = [
    ...state.closed.slice(1 - REMEMBERED_STEPS),
    ...(state.task === undefined ? [] : [state.task]),
  ];
  return { ...state, step: state.step + 1, task: undefined, closed, isProven: true };
}

/** The step just done is written down, and if it is time for a checkpoint, kept. */
export function recordStep(state: RunState, now: number): Next {
  if (!isCheckpointDue(state, now)) return { state, effects: [{ kind: 'record' }] };
  const kept = { ...state, checkpoint: { step: state.step, at: now } };
  return { state: kept, effects: [{ kind: 'record' }, { kind: 'checkpoint' }] };
}

function isCheckpointDue({ checkpoint, settings, step }: RunState, now: number): boolean {
  const { checkpointEvery: every } = settings;
  return 'steps' in every
    ? step - checkpoint.step >= every.steps
    : step > checkpoint.step && now - checkpoint.at >= every.milliseconds;
}
