import { EVALUATION_CHUNK_ROWS } from '../shared/limits.ts';
import { planStep } from '../shared/schedule.ts';
import { leaseAgain, openTask, weightsTo } from './leases.ts';
import { fixFingerprint, handleMembership } from './membership.ts';
import { assignEvaluation, assignStep, type Assignment } from './plan.ts';
import { diverged, end, endIfAbandoned, finished, stop, stopped } from './outcome.ts';
import { acceptResult } from './results.ts';
import { computingSlots } from './workers.ts';
import { taskKey, andThen, type Next, type RunEvent, type RunState, type Task } from './state.ts';

/**
 * The training loop. For every step: plan the shards, send the weights, take the partial sums (results.ts), add them
 * in the fixed tree (reduce.ts), update with Adam; after every epoch, and at the end, evaluate the test set.
 * Pure: the same state and event give the same state and effects; the driver performs the effects.
 */
export function reduce(state: RunState, event: RunEvent): Next {
  if (state.phase === 'ended') return { state, effects: [] };
  switch (event.kind) {
    case 'updated':
      if (!event.finite) return end(state, diverged(state.step + 1));
      return afterUpdate({ ...state, step: state.step + 1, task: undefined }, event.now);
    case 'evaluated':
      return afterEvaluation({ ...state, task: undefined }, event);
    case 'received':
      return andThen(acceptResult(state, event.verdict, event.now), (next) => leaseAgain(next, event.now));
    case 'stop':
      return stop(state, event.code);
    case 'connected':
    case 'disconnected':
    case 'message':
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
function beginIfReady(state: RunState, now: number): Next {
  if (state.phase !== 'gathering' || computingSlots(state).length < state.settings.minWorkers)
    return { state, effects: [] };
  return andThen(fixFingerprint(state), (fixed) => {
    if (computingSlots(fixed).length < fixed.settings.minWorkers) return { state: fixed, effects: [] };
    const running: RunState = { ...fixed, phase: 'running', waitingSince: undefined };
    // A run that lost every worker before its first result takes up the task it had.
    return running.task === undefined ? beginStep(running, now) : { state: running, effects: [] };
  });
}

function beginStep(state: RunState, now: number): Next {
  const plan = planStep(state.settings.configuration, state.step + 1);
  const assignment = assignStep(computingSlots(state), plan.virtualShards, plan.realShards);
  return begin(state, 'step', plan.step, assignment, now);
}

function afterUpdate(state: RunState, now: number): Next {
  const next = continueAfter(state, now);
  const record = { kind: 'record' } as const;
  // Whatever ends the run must find the step written down.
  return {
    state: next.state,
    effects: next.state.phase === 'ended' ? [record, ...next.effects] : [...next.effects, record],
  };
}

function continueAfter(state: RunState, now: number): Next {
  if (state.stopping !== undefined) return end(state, stopped(state.stopping));
  const { configuration, totalSteps } = state.settings;
  const isLast = state.step === totalSteps;
  return isLast || planStep(configuration, state.step).endsEpoch
    ? beginEvaluation(state, now)
    : beginStep(state, now);
}

function beginEvaluation(state: RunState, now: number): Next {
  const chunks = Math.ceil(state.settings.configuration.testSamples / EVALUATION_CHUNK_ROWS);
  return begin(state, 'evaluation', state.step, assignEvaluation(computingSlots(state), chunks), now);
}

function afterEvaluation(state: RunState, event: { finite: boolean; now: number }): Next {
  if (!event.finite) return end(state, diverged(state.step));
  if (state.step === state.settings.totalSteps) return end(state, finished);
  return state.stopping === undefined ? beginStep(state, event.now) : end(state, stopped(state.stopping));
}

/** Opens the task and sends the weights to everyone who has a part in it. */
function begin(state: RunState, kind: Task['kind'], step: number, assignment: Assignment, now: number): Next {
  const task = openTask(kind, step, assignment, state, now);
  const slots = [...assignment.keys()];
  const workers = new Map(state.workers);
  for (const slot of slots) {
    const worker = workers.get(slot);
    if (worker !== undefined) workers.set(slot, { ...worker, weightsOf: taskKey(task) });
  }
  return { state: { ...state, task, workers }, effects: [weightsTo(state, task, assignment)] };
}
