import { planStep } from '../../shared/arithmetic/schedule.ts';
import {
  evaluatedSets,
  setAfterEpochs,
  type EvaluatedSet,
} from '../../shared/evaluation/evaluated-set.ts';
import { assert } from '../../shared/errors.ts';
import { REMEMBERED_STEPS } from '../../shared/limits.ts';
import type { Configuration } from '../../shared/configuration.ts';
import {
  hasStoppedEarly,
  judge,
  judgingSet,
  type Judgement,
} from '../../shared/evaluation/judgement.ts';
import { log, type Next } from './effects.ts';
import type { RunState, Weights } from './state.ts';

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
 * Closes the open evaluation, whose result has been recorded. With early stopping, its loss may end
 * the run.
 */
export function closeEvaluation(state: RunState, loss: number, link = ''): Next {
  const { step, evaluated, task, settings } = state;
  assert(task !== undefined && task.kind !== 'step', 'an evaluation is open');
  const closed = { ...state, evaluated: { ...evaluated, [task.kind]: step }, task: undefined };
  const { configuration } = settings;
  if (task.kind !== judgingSet(configuration)) return { state: closed, effects: [] };
  const judged = {
    ...closed,
    judgement: judge(state.judgement, { step, loss, link }, configuration),
  };
  const message = earlyEnd(judged);
  const isNews = message !== undefined && earlyEnd(state) === undefined;
  return { state: judged, effects: isNews ? [log('stopped_early', message, { step })] : [] };
}

/** Why the run ends before its last step; undefined if it does not. A replay does not. */
export function earlyEnd({ judgement, settings }: RunState): string | undefined {
  const { configuration, evaluateAfter } = settings;
  if (evaluateAfter !== undefined || judgement === undefined) return undefined;
  return hasStoppedEarly(judgement, configuration)
    ? earlyText(judgement, configuration)
    : undefined;
}

/** Such as "stopped early after epoch 7; best epoch 4". */
export function earlyText({ step, best }: Judgement, configuration: Configuration): string {
  const epochOf = (each: number) => planStep(configuration, each).epoch;
  return `stopped early after epoch ${epochOf(step)}; best epoch ${epochOf(best.step)}`;
}

/** The weights for the next task: with --keep-best, the best ones are tested. */
export function weightsFor({ settings }: RunState, due: EvaluatedSet | undefined): Weights {
  return settings.configuration.keepBest === true && due === 'test' ? 'best' : 'last';
}

/** Whether there are no more steps to compute. */
export function isComplete(state: RunState): boolean {
  return state.step === state.settings.totalSteps || earlyEnd(state) !== undefined;
}

/**
 * The set on which to evaluate the current weights next; undefined if there is none. One set is
 * evaluated after each epoch and at the end; if that is the validation set, the test set follows at
 * the end. With `evaluateAfter`, its steps count instead.
 */
export function dueEvaluation(state: RunState): EvaluatedSet | undefined {
  const { step, evaluated, settings, repeated } = state;
  if (step === 0) return undefined;
  const { configuration, evaluateAfter } = settings;
  const isDue = (set: EvaluatedSet): boolean => {
    if (evaluateAfter !== undefined) return evaluateAfter[set].has(step);
    const isEpochs = set === setAfterEpochs(configuration);
    if (isComplete(state)) return isEpochs || set === 'test';
    return isEpochs && (planStep(configuration, step).endsEpoch || repeated.has(step));
  };
  return evaluatedSets.find((set) => evaluated[set] < step && isDue(set));
}
