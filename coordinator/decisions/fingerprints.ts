import { HIDDEN_DIFFERENCES, isSameEngine } from '../../shared/engine-identity.ts';
import { counted } from '../../shared/text/number-format.ts';
import { andThen, close, type Effect, log, type Next } from './effects.ts';
import { withoutTask } from './outcome.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';

/**
 * A run's fingerprint is provisional until a step has been completed with it. Once all workers with
 * that fingerprint have left and a worker with a different one is ready, the open step is dropped
 * and the ready workers choose a new fingerprint. If there is no such worker, the step stays open,
 * because a slow worker that reconnects needs the longer deadlines that the step has reached.
 */
export function dropProvisionalFingerprint(state: RunState): Next {
  const { task } = state;
  if (!isProvisional(state) || state.phase !== 'gathering') return { state, effects: [] };
  const isHeld = holdersOf(state).length > 0;
  if (task !== undefined && (isHeld || mismatchSince(state) === undefined))
    return { state, effects: [] };
  const delivered = withoutTask(state.delivered, task);
  const effects = [...(task?.sums ?? [])].map((node): Effect => ({ kind: 'forget', node }));
  return {
    state: { ...state, fingerprint: undefined, engine: undefined, task: undefined, delivered },
    effects,
  };
}

/**
 * The workers with a provisional fingerprint, if they have kept a worker with a different one
 * waiting for too long: a part of their first task has missed a deadline and is older than
 * `provisionalMilliseconds`.
 */
export function overdueHolders(state: RunState, now: number): WorkerState[] {
  const { task, provisionalMilliseconds } = state;
  const contested = mismatchSince(state);
  if (task === undefined || !isProvisional(state) || contested === undefined) return [];
  const isOverdue = [...task.parts.values()].some(({ accepted, missed, leases }) => {
    const begun = Math.max(contested, Math.min(...leases.map(({ granted }) => granted)));
    return accepted === undefined && missed > 0 && now - begun >= provisionalMilliseconds;
  });
  return isOverdue ? holdersOf(state) : [];
}

function isProvisional({ fingerprint, isProven, settings }: RunState): boolean {
  return fingerprint !== undefined && !isProven && !settings.allowMixedEngines;
}

function holdersOf({ workers, fingerprint }: RunState): WorkerState[] {
  return [...workers.values()].filter((worker) => worker.fingerprint === fingerprint);
}

/**
 * When the first ready worker with a different fingerprint connected; undefined if there is none.
 */
function mismatchSince({ workers, fingerprint }: RunState): number | undefined {
  const mismatched = [...workers.values()].filter(
    (worker) => worker.phase === 'ready' && worker.fingerprint !== fingerprint,
  );
  return mismatched.length === 0
    ? undefined
    : Math.min(...mismatched.map(({ connectedAt }) => connectedAt));
}

/**
 * Disconnects workers with a different fingerprint, now that a completed step has proven the run's
 * fingerprint.
 */
export function closeMismatchedWorkers(state: RunState): Next {
  if (state.settings.allowMixedEngines) return { state, effects: [] };
  const mismatched = [...state.workers.values()].filter(
    ({ phase, fingerprint }) => phase === 'ready' && fingerprint !== state.fingerprint,
  );
  return checkAll(state, mismatched);
}

/**
 * Sets the run's fingerprint to the most common one among the ready workers; on a tie, the worker
 * in the lowest slot decides.
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
  return checkAll(fixed, ready);
}

function checkAll(state: RunState, workers: readonly WorkerState[]): Next {
  return workers.reduce<Next>((next, worker) => andThen(next, (s) => checkFingerprint(s, worker)), {
    state,
    effects: [],
  });
}

/**
 * Admits a worker with the run's fingerprint. Unless mixed engines are allowed, a worker with a
 * different fingerprint is disconnected with FINGERPRINT. While the run's fingerprint is
 * provisional, the worker waits instead.
 */
export function checkFingerprint(state: RunState, worker: WorkerState): Next {
  if (worker.fingerprint === state.fingerprint) {
    // A resumed run knows its fingerprint, but perhaps not the engine.
    return { state: { ...state, engine: state.engine ?? worker.engine }, effects: [] };
  }
  const runs = [...state.workers.values()].find(
    ({ fingerprint }) => fingerprint === state.fingerprint,
  );
  const difference = differenceOf(worker, runs ?? state);
  if (!state.settings.allowMixedEngines && !state.isProven) {
    if (worker.isMismatched) return { state, effects: [] };
    const waits = `${difference}: it waits until the first step is done`;
    return {
      state: withWorker(state, { ...worker, isMismatched: true }),
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

type Computing = Pick<WorkerState, 'engine' | 'fingerprint'>;

function differenceOf(worker: Computing, run: Computing): string {
  const texts = `this worker computes ${describe(worker)}, the run ${describe(run)}`;
  const isHidden =
    worker.engine !== undefined &&
    run.engine !== undefined &&
    isSameEngine(worker.engine, run.engine);
  return isHidden
    ? `${texts}. The two descriptions are equal; what can differ: ${HIDDEN_DIFFERENCES}`
    : texts;
}

function describe({ engine, fingerprint }: Computing): string {
  const print = `fingerprint ${fingerprint?.slice(0, 12)}`;
  // This happens if the run was killed before its engine was recorded in run.json.
  if (engine === undefined) return `with an engine that run.json does not record (${print})`;
  const { library, device, processor, threads } = engine;
  return `with ${library} on ${device}, ${processor} (${counted(threads, 'thread')}, ${print})`;
}
