import { MAX_SMALL_MESSAGES, SMALL_MESSAGES_PER_SECOND } from '../../shared/limits.ts';
import { close, type Next } from './effects.ts';
import { type Budget, type RunState, withWorker, type WorkerState } from './state.ts';

export function fullBudget(now: number): Budget {
  return { messages: MAX_SMALL_MESSAGES, at: now };
}

/**
 * Takes one message from the worker's budget, which refills over time. Closes the connection with
 * LIMIT when the budget is used up.
 */
export function spend(state: RunState, worker: WorkerState, now: number): Next {
  const { messages, at } = worker.budget;
  const refilled = messages + ((now - at) * SMALL_MESSAGES_PER_SECOND) / 1000;
  const left = Math.min(refilled, MAX_SMALL_MESSAGES) - 1;
  if (left < 0) {
    const message =
      `this worker sent more than ${MAX_SMALL_MESSAGES} unrequested messages, and then more ` +
      `than ${SMALL_MESSAGES_PER_SECOND} per second`;
    return close(state, worker.slot, 'LIMIT', message);
  }
  return {
    state: withWorker(state, { ...worker, budget: { messages: left, at: now } }),
    effects: [],
  };
}
