import { planStep } from '../../shared/arithmetic/schedule.ts';
import type { RunState } from './state.ts';

/**
 * Whether the test set is to be evaluated with the weights at hand: after each epoch and at the
 * end, or as the settings say.
 */
export function isEvaluationDue({ step, evaluated, settings }: RunState): boolean {
  const { configuration, totalSteps, evaluateAfter } = settings;
  if (step === 0 || evaluated >= step) return false;
  if (evaluateAfter !== undefined) return evaluateAfter.has(step);
  return step === totalSteps || planStep(configuration, step).endsEpoch;
}
