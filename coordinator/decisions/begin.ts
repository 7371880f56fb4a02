import { evaluationRows } from '../../shared/arithmetic/model-size.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { samplesIn, type EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { judgingSet } from '../../shared/evaluation/judgement.ts';
import { beginAudits } from './audit.ts';
import { andThen, type Next } from './effects.ts';
import { beginTask } from './leases.ts';
import { assignEvaluation, planShards } from './plan.ts';
import type { RunState } from './state.ts';
import { computingSlots } from './worker-counts.ts';

/** Plans the next step and sends its weights. */
export function beginStep(state: RunState, now: number): Next {
  const step = planStep(state.settings.configuration, state.step + 1);
  const plan = planShards(state, step, now);
  const isUnchanged = plan === state.plans.get(step.realShards);
  const planned = isUnchanged
    ? state
    : { ...state, plans: new Map(state.plans).set(step.realShards, plan) };
  const begun = beginTask(planned, 'step', step.step, plan.assignment, now);
  return andThen(begun, (next) => beginAudits(next, plan.assignment, now));
}

/** Sends the weights and the chunks of an evaluation, which is audited only if it decides. */
export function beginEvaluation(state: RunState, set: EvaluatedSet, now: number): Next {
  const { configuration } = state.settings;
  const chunks = Math.ceil(samplesIn(set, configuration) / evaluationRows(configuration.model));
  const assignment = assignEvaluation(computingSlots(state), chunks);
  const begun = beginTask(state, set, state.step, assignment, now);
  if (set !== judgingSet(configuration)) return begun;
  return andThen(begun, (next) => beginAudits(next, assignment, now));
}
