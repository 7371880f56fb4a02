import { beginEvaluation, beginStep } from './begin.ts';
import { leaseAgain } from './leases.ts';
import {
  dropProvisionalFingerprint,
  fixFingerprint,
  closeMismatchedWorkers,
} from './fingerprints.ts';
import { handleMembership } from './membership.ts';
import { diverged, end, endIfAbandoned, finished, stop, stopped } from './outcome.ts';
import { acceptResult } from './results.ts';
import { enoughText, isEnough } from './worker-counts.ts';
import {
  closeEvaluation,
  closeStep,
  dueEvaluation,
  earlyEnd,
  isComplete,
  recordStep,
  weightsFor,
} from './close-step.ts';
import { andThen, log, type Next } from './effects.ts';
import type { RunEvent } from './events.ts';
import type { RunState } from './state.ts';

/**
 * The training loop. Each step: plan the shards, send the weights, take the partial sums
 * (results.ts), add them in the fixed tree (reduce.ts), update the weights. After every epoch and
 * at the end: evaluate the validation set or the test set (close-step.ts). `reduce` is pure: the
 * same state and event give the same next state and effects. The driver performs the effects.
 */
export function reduce(state: RunState, event: RunEvent): Next {
  if (state.phase === 'ended') return { state, effects: [] };
  switch (event.kind) {
    case 'updated':
      if (!event.finite) return end(state, diverged(state.step + 1));
      return andThen(afterUpdate(closeStep(state), event.now), closeMismatchedWorkers);
    case 'evaluated':
      if (event.loss === undefined) return end(state, diverged(state.step));
      return andThen(closeEvaluation(state, event.loss, event.link), (next) =>
        advance(next, event.now),
      );
    case 'restored': {
      const weights = weightsFor(state, dueEvaluation(state));
      return advance({ ...state, weights, isRestoring: false }, event.now);
    }
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

/** Starts or continues the run when enough workers with the same fingerprint are ready. */
function beginIfReady(before: RunState, now: number): Next {
  const open = dropProvisionalFingerprint(before);
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
    // A run that lost its workers during a task continues that task.
    return andThen({ state: running, effects }, (next) =>
      next.task === undefined ? advance(next, now) : { state: next, effects: [] },
    );
  });
}

function afterUpdate(state: RunState, now: number): Next {
  const recorded = recordStep(state, now);
  const next = advance(recorded.state, now);
  // If the run ends, the step is recorded first. Otherwise, the next weights are sent first, so
  // that no worker waits for the recording.
  const [first, second] = next.state.phase === 'ended' ? [recorded, next] : [next, recorded];
  return { state: next.state, effects: [...first.effects, ...second.effects] };
}

/** Begins the next step or evaluation, or ends the run. Does nothing with too few workers. */
function advance(state: RunState, now: number): Next {
  const due = dueEvaluation(state);
  if (isComplete(state) && due === undefined) return end(state, finished(earlyEnd(state)));
  if (state.stopping !== undefined) return end(state, stopped(state.stopping));
  if (state.phase !== 'running') return { state, effects: [] };
  const which = weightsFor(state, due);
  if (state.isRestoring) return { state, effects: [] };
  if (which !== state.weights)
    return { state: { ...state, isRestoring: true }, effects: [{ kind: 'restore', which }] };
  return due === undefined ? beginStep(state, now) : beginEvaluation(state, due, now);
}
