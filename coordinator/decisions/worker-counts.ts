import type { RunState, WorkerState } from './state.ts';

/** Whether this worker may compute: it is ready and its fingerprint is admitted. */
function isComputing(state: RunState, worker: WorkerState): boolean {
  if (worker.phase !== 'ready') return false;
  return (
    state.fingerprint === undefined ||
    worker.fingerprint === state.fingerprint ||
    state.settings.allowMixedEngines
  );
}

function computingWorkers(state: RunState): WorkerState[] {
  return [...state.workers.values()].filter((worker) => isComputing(state, worker));
}

/**
 * The slots that get work, in ascending order: the reliable workers' slots if there are any, or
 * else the punctual workers' slots, or else all computing workers' slots.
 */
export function computingSlots(state: RunState): number[] {
  const computing = computingWorkers(state);
  const punctual = computing.filter(({ late }) => !late);
  const reliable = punctual.filter(({ asideUntil }) => asideUntil === undefined);
  const chosen = [reliable, punctual, computing].find(({ length }) => length > 0) ?? [];
  return chosen.map(({ slot }) => slot).toSorted((a, b) => a - b);
}

/** The workers that are not late, including those set aside. */
export function punctualSlots(state: RunState): number[] {
  return computingWorkers(state)
    .filter(({ late }) => !late)
    .map(({ slot }) => slot);
}

/** The number of workers that may compute, including late ones. */
export function computingCount(state: RunState): number {
  return computingWorkers(state).length;
}

/** Whether a gathering run has enough workers to start or continue. */
export function isEnough(state: RunState, now: number): boolean {
  return state.phase === 'gathering' && computingCount(state) >= neededWorkers(state, now);
}

/** The number of workers to wait for: `startWorkers` at first, `minWorkers` after the timeout. */
export function neededWorkers(state: RunState, now: number): number {
  const { minWorkers, startWorkers } = state.settings;
  const waitsForAll = !state.started && !isTimeUp(state, now);
  return waitsForAll ? Math.max(minWorkers, startWorkers) : minWorkers;
}

/** Whether a gathering run has used up its time to wait for workers. */
export function isTimeUp({ settings, waitingSince }: RunState, now: number): boolean {
  return waitingSince !== undefined && now - waitingSince >= settings.rendezvousMilliseconds;
}

/** The log message when a gathering run has enough workers. */
export function enoughText(state: RunState): string {
  const workers = computingCount(state);
  const isContinued = state.started || state.step > 0;
  const noun = workers === 1 ? 'worker' : 'workers';
  return `${isContinued ? 'continuing' : 'starting'} with ${workers} ${noun}`;
}
