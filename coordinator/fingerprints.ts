import { andThen, close, log, type Next } from './effects.ts';
import type { RunState, WorkerState } from './state.ts';

/** The run's fingerprint is the one most waiting workers share (of equals, the lowest slot's); others are told both. */
export function fixFingerprint(state: RunState): Next {
  if (state.fingerprint !== undefined) return { state, effects: [] };
  const ready = [...state.workers.values()]
    .filter(({ phase }) => phase === 'ready')
    .toSorted((a, b) => a.slot - b.slot);
  const votes = (fingerprint: string | undefined) =>
    ready.filter((worker) => worker.fingerprint === fingerprint).length;
  const chosen = ready.toSorted((a, b) => votes(b.fingerprint) - votes(a.fingerprint) || a.slot - b.slot)[0];
  const fixed: RunState = { ...state, fingerprint: chosen?.fingerprint, engine: chosen?.engine };
  return ready.reduce<Next>((next, worker) => andThen(next, (s) => judgeFingerprint(s, worker)), {
    state: fixed,
    effects: [],
  });
}

/** Lets a worker in that computes the run's bytes, and no other unless mixed engines are allowed. */
export function judgeFingerprint(state: RunState, worker: WorkerState): Next {
  if (worker.fingerprint === state.fingerprint) {
    // A run that goes on knows its fingerprint, and perhaps no more.
    return { state: { ...state, engine: state.engine ?? worker.engine }, effects: [] };
  }
  const runs = [...state.workers.values()].find(({ fingerprint }) => fingerprint === state.fingerprint);
  const difference = `this worker computes ${describe(worker)}, the run ${describe(runs ?? state)}`;
  if (!state.settings.allowMixedEngines) {
    return close(state, worker.slot, 'FINGERPRINT', `${difference}; --allow-mixed-engines would accept it`);
  }
  return {
    state: { ...state, mixed: true },
    effects: [log('ready', `${difference}: the run is not reproducible`, { worker: worker.name }, 'warn')],
  };
}

function describe({ engine, fingerprint }: Pick<WorkerState, 'engine' | 'fingerprint'>): string {
  const { library = '?', device = '?', processor = '?' } = engine ?? {};
  return `with ${library} on ${device}, ${processor} (fingerprint ${fingerprint?.slice(0, 12)})`;
}
