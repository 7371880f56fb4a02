import { MAX_SMALL_MESSAGES, SMALL_MESSAGES_PER_SECOND } from '../../shared/limits.ts';
import { close, type Next } from './effects.ts';
import { type Budget, type RunState, withWorker, type WorkerState } from './state.ts';

export function fullBudget(now: number): Budget {
  return { messages: MAX_SMALL_MESSAGES, at: now };
}

/** One message is paid for; a worker that has used up its budget is closed with LIMIT. */
export function spend(state: RunState, worker: WorkerState, now: number): Next {
  const { messages, at } = worker.budget;
  const refilled = messages + ((now - at) * SMALL_MESSAGES_PER_SECOND) / 1000;
  const left = Math.min(refilled, MAX_SMALL_MESSAGES) - 1;
  if (left < 0) {
    const what = `more than ${MAX_SMALL_MESSAGES} messages that nothing asked for, and then more than ${SMALL_MESSAGES_PER_SECOND} a second`;
    return close(state, worker.slot, 'LIMIT', `this worker sent ${what}`);
  }
  return {
    state: withWorker(state, { ...worker, budget: { messages: left, at: now } }),
    effects: [],
  };
}
