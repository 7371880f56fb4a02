import { andThen, close, type Effect, log, type Next } from './effects.ts';
import { withoutTask } from './outcome.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';

/**
 * A fingerprint is a claim until a step is done with it. Once the workers that made it are gone and
 * another one is ready that computes other bytes, what they delivered of the open step is
 * forgotten, and the workers that are there choose anew. Without another one the step stays open: a
 * slow worker that was cut off finds the longer deadlines that it needs.
 */
export function dropClaim(state: RunState): Next {
  const { task } = state;
  if (!isClaim(state) || state.phase !== 'gathering') return { state, effects: [] };
  const isHeld = holdersOf(state).length > 0;
  if (task !== undefined && (isHeld || contestedSince(state) === undefined))
    return { state, effects: [] };
  const delivered = withoutTask(state.delivered, task);
  const effects = [...(task?.sums ?? [])].map((node): Effect => ({ kind: 'forget', node }));
  return {
    state: { ...state, fingerprint: undefined, engine: undefined, task: undefined, delivered },
    effects,
  };
}

/**
 * The workers that made a claim, where another one is ready that computes other bytes and the
 * claim's first task has missed a deadline and takes longer than a claim may.
 */
export function overdueHolders(state: RunState, now: number): WorkerState[] {
  const { task, claimMilliseconds } = state;
  const contested = contestedSince(state);
  if (task === undefined || !isClaim(state) || contested === undefined) return [];
  const isOverdue = [...task.parts.values()].some(({ accepted, missed, leases }) => {
    const begun = Math.max(contested, Math.min(...leases.map(({ granted }) => granted)));
    return accepted === undefined && missed > 0 && now - begun >= claimMilliseconds;
  });
  return isOverdue ? holdersOf(state) : [];
}

function isClaim({ fingerprint, isProven, settings }: RunState): boolean {
  return fingerprint !== undefined && !isProven && !settings.allowMixedEngines;
}

function holdersOf({ workers, fingerprint }: RunState): WorkerState[] {
  return [...workers.values()].filter((worker) => worker.fingerprint === fingerprint);
}

/**
 * When the first of the ready workers connected that compute other bytes than the run; undefined
 * without one.
 */
function contestedSince({ workers, fingerprint }: RunState): number | undefined {
  const strangers = [...workers.values()].filter(
    (worker) => worker.phase === 'ready' && worker.fingerprint !== fingerprint,
  );
  return strangers.length === 0
    ? undefined
    : Math.min(...strangers.map(({ connectedAt }) => connectedAt));
}

/**
 * With its first step the fingerprint is proven: who computes other bytes, and has waited, is told
 * so.
 */
export function sendStrangersHome(state: RunState): Next {
  if (state.settings.allowMixedEngines) return { state, effects: [] };
  const strangers = [...state.workers.values()].filter(
    ({ phase, fingerprint }) => phase === 'ready' && fingerprint !== state.fingerprint,
  );
  return strangers.reduce<Next>(
    (next, worker) => andThen(next, (s) => judgeFingerprint(s, worker)),
    {
      state,
      effects: [],
    },
  );
}

/**
 * The run's fingerprint is the one most waiting workers share (of equals, the lowest slot's);
 * others are told both.
 */
export function fixFingerprint(state: RunState): Next {
  if (state.fingerprint !== undefined) return { state, effects: [] };
  const ready = [...state.workers.values()]
    .filter(({ phase }) => phase === 'ready')
    .toSorted((a, b) => a.slot - b.slot);
  const votes = (fingerprint: string | undefined) =>
    ready.filter((worker) => worker.fingerprint === fingerprint).length;
  const chosen = ready.toSorted(
    (a, b) => votes(b.fingerprint) - votes(a.fingerprint) || a.slot - b.slot,
  )[0];
  const fixed: RunState = { ...state, fingerprint: chosen?.fingerprint, engine: chosen?.engine };
  return ready.reduce<Next>((next, worker) => andThen(next, (s) => judgeFingerprint(s, worker)), {
    state: fixed,
    effects: [],
  });
}

/**
 * Lets a worker in that computes the run's bytes, and no other unless mixed engines are allowed.
 * While the fingerprint is only claimed, another one is no reason to send a worker home for good:
 * it waits.
 */
export function judgeFingerprint(state: RunState, worker: WorkerState): Next {
  if (worker.fingerprint === state.fingerprint) {
    // A run that goes on knows its fingerprint, and perhaps no more.
    return { state: { ...state, engine: state.engine ?? worker.engine }, effects: [] };
  }
  const runs = [...state.workers.values()].find(
    ({ fingerprint }) => fingerprint === state.fingerprint,
  );
  const difference = `this worker computes ${describe(worker)}, the run ${describe(runs ?? state)}`;
  if (!state.settings.allowMixedEngines && !state.isProven) {
    if (worker.isStrange) return { state, effects: [] };
    const waits = `${difference}: it waits until the first step is done`;
    return {
      state: withWorker(state, { ...worker, isStrange: true }),
      effects: [log('ready', waits, { worker: worker.name }, 'warn')],
    };
  }
  if (!state.settings.allowMixedEngines) {
    return close(
      state,
      worker.slot,
      'FINGERPRINT',
      `${difference}; --allow-mixed-engines would accept it`,
    );
  }
  return {
    state: { ...state, mixed: true },
    effects: [
      log('ready', `${difference}: the run is not reproducible`, { worker: worker.name }, 'warn'),
    ],
  };
}

function describe({ engine, fingerprint }: Pick<WorkerState, 'engine' | 'fingerprint'>): string {
  const print = `fingerprint ${fingerprint?.slice(0, 12)}`;
  // A run that was killed before it named its engine.
  if (engine === undefined) return `with an engine that run.json does not name (${print})`;
  return `with ${engine.library} on ${engine.device}, ${engine.processor} (${print})`;
}
