import type { RunState, WorkerState } from './state.ts';

/** Whether this worker may hold leases: ready, and of the run's fingerprint unless mixed engines are allowed. */
export function isComputing(state: RunState, worker: WorkerState): boolean {
  if (worker.phase !== 'ready') return false;
  return (
    state.fingerprint === undefined ||
    worker.fingerprint === state.fingerprint ||
    state.settings.allowMixedEngines
  );
}

/** The slots that get work, in order; a late worker gets none until it has answered. */
export function computingSlots(state: RunState): number[] {
  const computing = [...state.workers.values()].filter((worker) => isComputing(state, worker));
  const punctual = computing.filter(({ late }) => !late);
  return (punctual.length > 0 ? punctual : computing).map(({ slot }) => slot).toSorted((a, b) => a - b);
}
