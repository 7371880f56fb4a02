import type { RunState, WorkerState } from './state.ts';

/**
 * Whether this worker may hold leases: ready, and of the run's fingerprint unless mixed engines are
 * allowed.
 */
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
 * The slots that get work, in order: of those that may compute the reliable ones, else those in
 * time, else all.
 */
export function computingSlots(state: RunState): number[] {
  const computing = computingWorkers(state);
  const punctual = computing.filter(({ late }) => !late);
  const reliable = punctual.filter(({ asideUntil }) => asideUntil === undefined);
  const chosen = [reliable, punctual, computing].find(({ length }) => length > 0) ?? [];
  return chosen.map(({ slot }) => slot).toSorted((a, b) => a - b);
}

/** All that may compute and are not late, also those that are set aside. */
export function punctualSlots(state: RunState): number[] {
  return computingWorkers(state)
    .filter(({ late }) => !late)
    .map(({ slot }) => slot);
}

/** How many workers may compute, late ones among them. */
export function computingCount(state: RunState): number {
  return computingWorkers(state).length;
}

/** Whether a gathering run may begin or continue. */
export function isEnough(state: RunState, now: number): boolean {
  return state.phase === 'gathering' && computingCount(state) >= neededWorkers(state, now);
}

/**
 * The workers that a gathering run waits for: at its start all, and when time is up the least that
 * it needs.
 */
export function neededWorkers(state: RunState, now: number): number {
  const { minWorkers, startWorkers } = state.settings;
  const waitsForAll = !state.started && !isTimeUp(state, now);
  return waitsForAll ? Math.max(minWorkers, startWorkers) : minWorkers;
}

/** Whether a gathering run has waited for workers as long as it may. */
export function isTimeUp({ settings, waitingSince }: RunState, now: number): boolean {
  return waitingSince !== undefined && now - waitingSince >= settings.rendezvousMilliseconds;
}

/** Said when a gathering run has enough workers. */
export function enoughText(state: RunState): string {
  const workers = computingCount(state);
  const isContinued = state.started || state.step > 0;
  return `${isContinued ? 'continuing' : 'beginning'} with ${workers} ${workers === 1 ? 'worker' : 'workers'}`;
}
