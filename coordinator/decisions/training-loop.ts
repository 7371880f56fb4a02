import { EVALUATION_CHUNK_ROWS } from '../../shared/limits.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { beginAudits } from './audit.ts';
import { isEvaluationDue } from './evaluations.ts';
import { beginTask, leaseAgain } from './leases.ts';
import { dropClaim, fixFingerprint, sendStrangersHome } from './fingerprints.ts';
import { handleMembership } from './membership.ts';
import { assignEvaluation, planShards } from './plan.ts';
import { diverged, end, endIfAbandoned, finished, stop, stopped } from './outcome.ts';
import { acceptResult } from './results.ts';
import { computingSlots, enoughText, isEnough } from './worker-counts.ts';
import { closeStep, recordStep } from './close-step.ts';
import { andThen, log, type Next } from './effects.ts';
import type { RunEvent } from './events.ts';
import type { RunState } from './state.ts';

/**
 * The training loop. For every step: plan the shards, send the weights, take the partial sums
 * (results.ts), add them in the fixed tree (reduce.ts), update with Adam; after every epoch, and at
 * the end, evaluate the test set. Pure: the same state and event give the same state and effects;
 * the driver performs the effects.
 */
export function reduce(state: RunState, event: RunEvent): Next {
  if (state.phase === 'ended') return { state, effects: [] };
  switch (event.kind) {
    case 'updated':
      if (!event.finite) return end(state, diverged(state.step + 1));
      return andThen(afterUpdate(closeStep(state), event.now), sendStrangersHome);
    case 'evaluated':
      if (!event.finite) return end(state, diverged(state.step));
      return advance({ ...state, evaluated: state.step, task: undefined }, event.now);
    case 'received':
      return andThen(acceptResult(state, event.verdict, event.now), (next) =>
        leaseAgain(next, event.now),
      );
    case 'stop':
      return stop(state, event.code);
    case 'expect': {
      const settings = { ...state.settings, startWorkers: event.workers };
      return beginIfReady({ ...state, settings }, event.now);
    }
    case 'connected':
    case 'disconnected':
    case 'message':
    case 'control':
    case 'tick':
      return andThen(
        andThen(andThen(handleMembership(state, event), endIfAbandoned), (next) =>
          beginIfReady(next, event.now),
        ),
        (next) => leaseAgain(next, event.now),
      );
  }
}

/** Gathering ends when enough workers are ready; their common fingerprint becomes the run's. */
function beginIfReady(before: RunState, now: number): Next {
  const open = dropClaim(before);
  if (!isEnough(open.state, now)) return open;
  return andThen(andThen(open, fixFingerprint), (fixed) => {
    if (!isEnough(fixed, now)) return { state: fixed, effects: [] };
    const running: RunState = {
      ...fixed,
      phase: 'running',
      started: true,
      waitingSince: undefined,
    };
    const effects = [log('running', enoughText(fixed), { step: fixed.step })];
    // A run that lost too many workers within a task goes on with it.
    return andThen({ state: running, effects }, (next) =>
      next.task === undefined ? advance(next, now) : { state: next, effects: [] },
    );
  });
}

function afterUpdate(state: RunState, now: number): Next {
  const recorded = recordStep(state, now);
  const next = advance(recorded.state, now);
  // Whatever ends the run must find the step written down; else nobody waits for that.
  const [first, second] = next.state.phase === 'ended' ? [recorded, next] : [next, recorded];
  return { state: next.state, effects: [...first.effects, ...second.effects] };
}

/** What comes after a step or an evaluation; nothing as long as too few workers are there. */
function advance(state: RunState, now: number): Next {
  const isDue = isEvaluationDue(state);
  if (state.step === state.settings.totalSteps && !isDue) return end(state, finished);
  if (state.stopping !== undefined) return end(state, stopped(state.stopping));
  if (state.phase !== 'running') return { state, effects: [] };
  return isDue ? beginEvaluation(state, now) : beginStep(state, now);
}

function beginStep(state: RunState, now: number): Next {
  const step = planStep(state.settings.configuration, state.step + 1);
  const plan = planShards(state, step, now);
  const isStanding = plan === state.plans.get(step.realShards);
  const planned = isStanding
    ? state
    : { ...state, plans: new Map(state.plans).set(step.realShards, plan) };
  const begun = beginTask(planned, 'step', step.step, plan.assignment, now);
  return andThen(begun, (next) => beginAudits(next, plan.assignment, now));
}

function beginEvaluation(state: RunState, now: number): Next {
  const chunks = Math.ceil(state.settings.configuration.testSamples / EVALUATION_CHUNK_ROWS);
  return beginTask(
    state,
    'evaluation',
    state.step,
    assignEvaluation(computingSlots(state), chunks),
    now,
  );
}
