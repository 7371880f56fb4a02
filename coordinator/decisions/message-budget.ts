import { fullBudget, spendOne, type Budget } from '../../shared/budget.ts';
import { MAX_SMALL_MESSAGES, SMALL_MESSAGES_PER_SECOND } from '../../shared/limits.ts';
import { close, type Next } from './effects.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';

const SMALL_MESSAGES = { max: MAX_SMALL_MESSAGES, perSecond: SMALL_MESSAGES_PER_SECOND };

export function fullMessageBudget(now: number): Budget {
  return fullBudget(SMALL_MESSAGES, now);
}

/**
 * Takes one message from the worker's budget, which refills over time. Closes the connection with
 * LIMIT when the budget is used up.
 */
export function spend(state: RunState, worker: WorkerState, now: number): Next {
  const budget = spendOne(worker.budget, SMALL_MESSAGES, now);
  if (budget !== undefined) return { state: withWorker(state, { ...worker, budget }), effects: [] };
  const message =
    `this worker sent more than ${MAX_SMALL_MESSAGES} unrequested messages, and then more ` +
    `than ${SMALL_MESSAGES_PER_SECOND} per second`;
  return close(state, worker.slot, 'LIMIT', message);
}
