import { type EngineIdentity } from '../shared/engine-identity.ts';
import { ARITHMETIC, PROTOCOL, type WorkerMessage } from '../shared/messages.ts';
import { unreachable, type ErrorCode } from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import { isBusy, loseLeases } from './leases.ts';
import { end, tooFewWorkers } from './outcome.ts';
import { takeResult } from './results.ts';
import { computingSlots } from './workers.ts';
import {
  andThen,
  withWorker,
  type Effect,
  type Next,
  type RunEvent,
  type RunState,
  type WorkerState,
} from './state.ts';

type MembershipEvent = Extract<RunEvent, { kind: 'connected' | 'message' | 'disconnected' | 'tick' }>;

/** Who takes part: workers connect, say hello, prepare, become ready, and leave. */
export function handleMembership(state: RunState, event: MembershipEvent): Next {
  switch (event.kind) {
    case 'connected':
      return connect(state, event);
    case 'disconnected':
      return leave(state, event.slot, event.reason, event.now);
    case 'tick':
      return expire(state, event.now);
    case 'message': {
      const worker = state.workers.get(event.slot);
      if (worker === undefined) return { state, effects: [] };
      const seen = {
        ...worker,
        silentAt: Math.max(worker.silentAt, event.now + limits.IDLE_LIMIT_MILLISECONDS),
      };
      return listen(withWorker(state, seen), seen, event.message, event.now);
    }
  }
}

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

function connect(
  state: RunState,
  { slot, session, now }: { slot: number; session: string; now: number },
): Next {
  const worker: WorkerState = {
    ...{ slot, session, name: `slot ${slot}`, phase: 'connected', engine: undefined, fingerprint: undefined },
    ...{ silentAt: now + limits.HELLO_LIMIT_MILLISECONDS, weightsOf: undefined, late: false },
  };
  return { state: withWorker(state, worker), effects: [] };
}

function listen(state: RunState, worker: WorkerState, message: WorkerMessage, now: number): Next {
  switch (message.kind) {
    case 'hello':
      return worker.phase === 'connected'
        ? greet(state, worker, message)
        : breach(state, worker, message.kind);
    case 'preparing': {
      if (worker.phase !== 'preparing') return breach(state, worker, message.kind);
      return {
        state: withWorker(state, { ...worker, silentAt: now + message.limitMilliseconds }),
        effects: [],
      };
    }
    case 'ready': {
      if (worker.phase !== 'preparing') return breach(state, worker, message.kind);
      const silentAt = now + limits.IDLE_LIMIT_MILLISECONDS;
      return becomeReady(state, {
        ...worker,
        phase: 'ready',
        fingerprint: message.fingerprint,
        engine: message.engine,
        silentAt,
      });
    }
    case 'gradient':
    case 'predictions':
      return worker.phase === 'ready'
        ? takeResult(state, worker.slot, message)
        : breach(state, worker, message.kind);
    case 'heartbeat':
      return { state, effects: [] };
    case 'bye':
      return close(state, worker.slot, message.code, message.message);
    default:
      return unreachable(message);
  }
}

function greet(state: RunState, worker: WorkerState, hello: Extract<WorkerMessage, { kind: 'hello' }>): Next {
  const ours = `protocol ${PROTOCOL}, arithmetic ${ARITHMETIC}`;
  if (hello.protocol !== PROTOCOL || hello.arithmetic !== ARITHMETIC) {
    const theirs = `protocol ${hello.protocol}, arithmetic ${hello.arithmetic}`;
    return close(
      state,
      worker.slot,
      'VERSION',
      `the coordinator speaks ${ours}, this worker ${theirs}: install the same mnist-dist on both`,
    );
  }
  const others = [...state.workers.values()].filter(({ slot }) => slot !== worker.slot);
  const before = others.find(({ session }) => session === hello.session);
  const present = others.filter(({ phase, slot }) => phase !== 'connected' && slot !== before?.slot).length;
  if (present >= state.settings.maxWorkers) {
    return close(
      state,
      worker.slot,
      'FULL',
      `the run has all ${state.settings.maxWorkers} workers it takes (--max-workers)`,
    );
  }
  const { run, term } = state.settings;
  const greeted: WorkerState = { ...worker, name: hello.name, phase: 'preparing' };
  const welcome: Effect = {
    kind: 'send',
    slot: worker.slot,
    message: { kind: 'welcome', run, term, slot: worker.slot, session: worker.session },
  };
  const next: Next = {
    state: withWorker(state, greeted),
    effects: [
      welcome,
      log('hello', `${hello.name} connected`, { worker: hello.name, version: hello.version }),
    ],
  };
  return before === undefined
    ? next
    : andThen(next, (s) =>
        close(s, before.slot, 'SUPERSEDED', 'a newer connection of this worker took over'),
      );
}

function becomeReady(state: RunState, worker: WorkerState): Next {
  const fields = {
    worker: worker.name,
    engine: worker.engine?.kind,
    device: worker.engine?.device,
    fingerprint: worker.fingerprint,
  };
  const what = worker.engine === undefined ? '' : ` (${worker.engine.library}, ${worker.engine.device})`;
  const ready: Next = {
    state: withWorker(state, worker),
    effects: [log('ready', `${worker.name} is ready${what}`, fields)],
  };
  return state.fingerprint === undefined ? ready : andThen(ready, (s) => judgeFingerprint(s, worker));
}

function judgeFingerprint(state: RunState, worker: WorkerState): Next {
  if (worker.fingerprint === state.fingerprint) return { state, effects: [] };
  const runs = [...state.workers.values()].find(({ fingerprint }) => fingerprint === state.fingerprint);
  const difference = `this worker computes ${describe(worker)}, the run ${runs === undefined ? state.fingerprint : describe(runs)}`;
  if (!state.settings.allowMixedEngines) {
    return close(state, worker.slot, 'FINGERPRINT', `${difference}; --allow-mixed-engines would accept it`);
  }
  return {
    state: { ...state, mixed: true },
    effects: [log('ready', `${difference}: the run is not reproducible`, { worker: worker.name }, 'warn')],
  };
}

function describe({
  engine,
  fingerprint,
}: {
  engine: EngineIdentity | undefined;
  fingerprint: string | undefined;
}): string {
  const { library = '?', device = '?', processor = '?' } = engine ?? {};
  return `with ${library} on ${device}, ${processor} (fingerprint ${fingerprint?.slice(0, 12)})`;
}

function leave(state: RunState, slot: number, reason: string, now: number): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const workers = new Map(state.workers);
  workers.delete(slot);
  const task = state.task === undefined ? undefined : loseLeases(state.task, (lease) => lease.slot === slot);
  const rest: RunState = { ...state, workers, task };
  const effects =
    worker.phase === 'connected'
      ? []
      : [log('lost', `${worker.name} left: ${reason}`, { worker: worker.name, reason }, 'warn')];
  if (rest.phase !== 'running' || computingSlots(rest).length > 0) return { state: rest, effects };
  const waiting = log(
    'waiting',
    `no worker is left; waiting for another (--rdzv-timeout)`,
    { step: rest.step },
    'warn',
  );
  return { state: { ...rest, phase: 'gathering', waitingSince: now }, effects: [...effects, waiting] };
}

/** Time passes: leases are missed, silent workers are given up, and waiting has an end. */
function expire(state: RunState, now: number): Next {
  const { task } = state;
  const missed = new Set<number>();
  const judged =
    task && loseLeases(task, (lease) => lease.deadline <= now && missed.add(lease.slot) !== undefined);
  let next: Next = { state: judged === task ? state : { ...state, task: judged }, effects: [] };
  if (judged !== task) {
    for (const slot of missed) next = andThen(next, (s) => markLate(s, slot, now));
  }
  for (const worker of state.workers.values()) {
    if (worker.silentAt <= now && !missed.has(worker.slot) && !isBusy(next.state.task, worker.slot)) {
      next = andThen(next, (s) =>
        close(s, worker.slot, 'TIMEOUT', `this worker was silent for too long while ${worker.phase}`),
      );
    }
  }
  const { settings, waitingSince } = state;
  if (
    state.phase === 'gathering' &&
    waitingSince !== undefined &&
    now - waitingSince >= settings.rendezvousMilliseconds
  ) {
    return andThen(next, (s) => end(s, tooFewWorkers(s, computingSlots(s).length)));
  }
  return next;
}

function markLate(state: RunState, slot: number, now: number): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined || worker.late) return { state, effects: [] };
  const late = { ...worker, late: true, silentAt: now + limits.IDLE_LIMIT_MILLISECONDS };
  return {
    state: withWorker(state, late),
    effects: [
      log(
        'lease_again',
        `${worker.name} is late; its work is offered to others`,
        { worker: worker.name },
        'warn',
      ),
    ],
  };
}

function breach(state: RunState, worker: WorkerState, kind: string): Next {
  return close(state, worker.slot, 'PROTOCOL', `this worker sent "${kind}" while ${worker.phase}`);
}

/** The shell closes the connection; its `disconnected` event then makes the worker leave. */
function close(state: RunState, slot: number, code: ErrorCode, message: string): Next {
  return { state, effects: [{ kind: 'close', slot, code, message }] };
}

function log(
  event: Extract<Effect, { kind: 'log' }>['event'],
  message: string,
  fields: Record<string, unknown>,
  level: 'info' | 'warn' = 'info',
): Effect {
  return { kind: 'log', level, event, message, fields };
}
