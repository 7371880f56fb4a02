import { PROTOCOL, type WorkerMessage } from '../../shared/wire/messages.ts';
import { unreachable, type ErrorCode } from '../../shared/errors.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import * as limits from '../../shared/limits.ts';
import { fullMessageBudget, spend } from './message-budget.ts';
import { isBusy, isMissed, missLeases, openLeases, withoutWorker } from './leases.ts';
import { andThen, close, type Effect, log, type Next } from './effects.ts';
import type { RunEvent } from './events.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Task } from './task.ts';
import { checkFingerprint, overdueHolders } from './fingerprints.ts';
import { end, tooFewWorkers } from './outcome.ts';
import { takeResult } from './results.ts';
import { recordFailure } from './worker-trust.ts';
import { computingCount, isEnough, isTimeUp, neededWorkers } from './worker-counts.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

type MembershipEvent = Extract<
  RunEvent,
  { kind: 'connected' | 'message' | 'control' | 'disconnected' | 'tick' }
>;

/** Handles a worker's lifecycle: it connects, says hello, prepares, becomes ready and leaves. */
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
      // Until a worker is ready, messages do not extend its deadline.
      const isReady = worker.phase === 'ready';
      const silentAt = Math.max(worker.silentAt, event.now + limits.IDLE_LIMIT_MILLISECONDS);
      const seen = isReady ? { ...worker, silentAt } : worker;
      return chargeMessage(withWorker(state, seen), seen, event);
    }
    case 'control': {
      const worker = state.workers.get(event.slot);
      return worker === undefined ? { state, effects: [] } : spend(state, worker, event.now);
    }
  }
}

function connect(
  state: RunState,
  { slot, session, now }: { slot: number; session: string; now: number },
): Next {
  const worker: WorkerState = {
    slot,
    session,
    name: `slot ${slot}`,
    phase: 'connected',
    engine: undefined,
    fingerprint: undefined,
    silentAt: now + limits.HELLO_LIMIT_MILLISECONDS,
    weightsOf: undefined,
    late: false,
    isMismatched: false,
    connectedAt: now,
    budget: fullMessageBudget(now),
    unanswered: 0,
    devicesAt: now,
    hasAnnounced: false,
    pace: undefined,
    failures: 0,
    asideUntil: undefined,
    hasDelivered: false,
    hasDiffered: false,
    confirmed: undefined,
  };
  return { state: withWorker(state, worker), effects: [] };
}

type MessageEvent = Extract<RunEvent, { kind: 'message' }>;

/** Requested results are free; every other message counts against the worker's budget. */
function chargeMessage(state: RunState, worker: WorkerState, event: MessageEvent): Next {
  const { kind } = event.message;
  const isResult = kind === 'gradient' || kind === 'predictions';
  if (isResult && worker.unanswered > 0)
    return handleMessage(state, { ...worker, unanswered: worker.unanswered - 1 }, event);
  const charged = spend(state, worker, event.now);
  const sender = charged.state.workers.get(worker.slot);
  return sender === undefined || charged.effects.length > 0
    ? charged
    : handleMessage(charged.state, sender, event);
}

function handleMessage(
  state: RunState,
  worker: WorkerState,
  { message, checksum, now }: MessageEvent,
): Next {
  switch (message.kind) {
    case 'hello':
      return worker.phase === 'connected'
        ? handleHello(state, worker, message, now)
        : protocolError(state, worker, message.kind);
    case 'preparing': {
      if (worker.phase !== 'preparing' || worker.hasAnnounced)
        return protocolError(state, worker, message.kind);
      const silentAt = now + message.limitMilliseconds;
      return {
        state: withWorker(state, { ...worker, silentAt, hasAnnounced: true }),
        effects: [],
      };
    }
    case 'ready': {
      if (worker.phase !== 'preparing') return protocolError(state, worker, message.kind);
      const silentAt = now + limits.IDLE_LIMIT_MILLISECONDS;
      return becomeReady(
        state,
        {
          ...worker,
          phase: 'ready',
          fingerprint: message.fingerprint,
          engine: message.engine,
          silentAt,
        },
        now,
      );
    }
    case 'gradient':
    case 'predictions': {
      if (worker.phase !== 'ready') return protocolError(state, worker, message.kind);
      // A late worker that answers is no longer late, even if its result does not count.
      const punctual = { ...worker, late: false };
      const next = takeResult(withWorker(state, punctual), punctual, message, checksum);
      return worker.late
        ? { ...next, effects: [...recovered(punctual, 'has answered'), ...next.effects] }
        : next;
    }
    case 'devices':
      return worker.phase === 'connected'
        ? protocolError(state, worker, message.kind)
        : reportDevices(state, worker, message.gpus, now);
    case 'heartbeat':
      return { state, effects: [] };
    case 'bye':
      return close(state, worker.slot, message.code, message.message);
    default:
      return unreachable(message);
  }
}

function handleHello(
  state: RunState,
  worker: WorkerState,
  hello: Extract<WorkerMessage, { kind: 'hello' }>,
  now: number,
): Next {
  const ours = `protocol ${PROTOCOL}, arithmetic ${ARITHMETIC}`;
  if (hello.protocol !== PROTOCOL || hello.arithmetic !== ARITHMETIC) {
    const theirs = `protocol ${hello.protocol}, arithmetic ${hello.arithmetic}`;
    return close(
      state,
      worker.slot,
      'VERSION',
      `the coordinator uses ${ours}, this worker ${theirs}: install the same version on both`,
    );
  }
  if (hello.run !== undefined && hello.run !== state.settings.run)
    return close(
      state,
      worker.slot,
      'PROTOCOL',
      `this worker said hello for the run ${hello.run}, but this is ${state.settings.run}`,
    );
  const others = [...state.workers.values()].filter(({ slot }) => slot !== worker.slot);
  const before = others.find(({ session }) => session === hello.session);
  const present = others.filter(
    ({ phase, slot }) => phase !== 'connected' && slot !== before?.slot,
  ).length;
  if (present >= state.settings.maxWorkers) {
    const idler = longestPreparing(others, now);
    const { maxWorkers } = state.settings;
    const full = `the run already has its maximum of ${maxWorkers} workers (--max-workers)`;
    if (idler === undefined) return close(state, worker.slot, 'FULL', full);
    const seconds = Math.round((now - idler.connectedAt) / 1000);
    const why =
      `${full}, and a new worker replaces this one, ` + `which was not ready within ${seconds} s`;
    return andThen(dismiss(state, idler.slot, 'FULL', why, now), (s) =>
      handleHello(s, worker, hello, now),
    );
  }
  const { run, term } = state.settings;
  const silentAt = now + limits.IDLE_LIMIT_MILLISECONDS;
  const greeted: WorkerState = { ...worker, name: hello.name, phase: 'preparing', silentAt };
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
        close(s, before.slot, 'SUPERSEDED', 'a newer connection from this worker took over'),
      );
}

/**
 * The worker that has been preparing longest, if it has taken more than
 * PREPARING_PLACE_MILLISECONDS. It may lose its place to a new worker, in which case it finishes
 * preparing and dials again.
 */
function longestPreparing(workers: readonly WorkerState[], now: number): WorkerState | undefined {
  return workers
    .filter(({ phase }) => phase === 'preparing')
    .filter(({ connectedAt }) => now - connectedAt >= limits.PREPARING_PLACE_MILLISECONDS)
    .toSorted((a, b) => a.connectedAt - b.connectedAt)[0];
}

function becomeReady(state: RunState, worker: WorkerState, now: number): Next {
  const fields = {
    worker: worker.name,
    engine: worker.engine?.kind,
    device: worker.engine?.device,
    fingerprint: worker.fingerprint,
  };
  const what =
    worker.engine === undefined ? '' : ` (${worker.engine.library}, ${worker.engine.device})`;
  const ready: Next = {
    state: withWorker(state, worker),
    effects: [log('ready', `${worker.name} is ready${what}`, fields)],
  };
  const judged =
    state.fingerprint === undefined ? ready : andThen(ready, (s) => checkFingerprint(s, worker));
  return andThen(judged, (s) => reportGathering(s, now));
}

/** Logs how many of the needed workers are ready, while there are too few. */
function reportGathering(state: RunState, now: number): Next {
  const [ready, needed] = [computingCount(state), neededWorkers(state, now)];
  if (state.phase !== 'gathering' || ready === 0 || ready >= needed) return { state, effects: [] };
  const message = `${ready} of ${needed} workers ${ready === 1 ? 'is' : 'are'} ready`;
  return { state, effects: [log('gathering', message, { ready, needed })] };
}

/**
 * Passes a worker's GPU readings to the viewers, at most once a second, since more would slow down
 * the steps.
 */
function reportDevices(
  state: RunState,
  worker: WorkerState,
  gpus: readonly GpuReading[],
  now: number,
): Next {
  if (now < worker.devicesAt) return { state, effects: [] };
  const devicesAt = now + limits.MIN_DEVICES_INTERVAL_MILLISECONDS;
  return {
    state: withWorker(state, { ...worker, devicesAt }),
    effects: [{ kind: 'devices', worker: worker.name, gpus }],
  };
}

function leave(state: RunState, slot: number, reason: string, now: number): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const workers = new Map(state.workers);
  workers.delete(slot);
  const task = state.task && withoutWorker(state.task, slot);
  const closed = state.closed.map((done) => withoutWorker(done, slot));
  const rest: RunState = { ...state, workers, task, closed };
  const effects =
    worker.phase === 'connected'
      ? []
      : [log('lost', `${worker.name} left: ${reason}`, { worker: worker.name, reason }, 'warn')];
  const left = computingCount(rest);
  const { minWorkers } = rest.settings;
  if (rest.phase !== 'running' || left >= minWorkers) return { state: rest, effects };
  const remaining =
    left === 0
      ? 'no worker is left'
      : `too few workers: ${left} left, at least ${minWorkers} needed`;
  const waiting = log(
    'waiting',
    `${remaining}; waiting for more (--min-workers, --rdzv-timeout)`,
    { step: rest.step },
    'warn',
  );
  return {
    state: { ...rest, phase: 'gathering', waitingSince: now },
    effects: [...effects, waiting],
  };
}

/** Closes the worker's connection and removes the worker immediately. */
function dismiss(state: RunState, slot: number, code: ErrorCode, why: string, now: number): Next {
  return andThen(close(state, slot, code, why), (s) => leave(s, slot, why, now));
}

/**
 * Closes the connections of all workers with an overdue provisional fingerprint together. If they
 * were closed one by one, the workers could reconnect in turn and keep the fingerprint.
 */
function dismissHolders(state: RunState, now: number): Next {
  const holders = overdueHolders(state, now);
  if (holders.length === 0) return { state, effects: [] };
  const seconds = Math.round(state.provisionalMilliseconds / 1000);
  const why =
    `the first step was not done within ${seconds} s, and a worker with a different ` +
    'fingerprint is waiting';
  const provisionalMilliseconds = Math.min(
    2 * state.provisionalMilliseconds,
    limits.MAX_REPEATED_LEASE_MILLISECONDS,
  );
  return holders.reduce<Next>(
    (next, { slot }) => andThen(next, (s) => dismiss(s, slot, 'TIMEOUT', why, now)),
    { state: { ...state, provisionalMilliseconds }, effects: [] },
  );
}

/** Checks all deadlines: for leases, for messages from workers and for gathering workers. */
function expire(state: RunState, now: number): Next {
  const { task } = state;
  const missed = new Set(
    openLeases(task)
      .filter((lease) => isMissed(lease, now))
      .map(({ slot }) => slot),
  );
  const judged = task && missLeases(task, now);
  let next: Next = {
    state: judged === task ? state : countStraggler({ ...state, task: judged }, task),
    effects: [],
  };
  if (judged !== task) {
    for (const slot of missed) next = andThen(next, (s) => markLate(s, slot, now));
  }
  for (const worker of state.workers.values()) {
    if (worker.asideUntil !== undefined && worker.asideUntil <= now)
      next = andThen(next, (s) => endSetAside(s, worker.slot));
    if (
      worker.silentAt <= now &&
      !missed.has(worker.slot) &&
      !isBusy(next.state.task, worker.slot)
    ) {
      next = andThen(next, (s) =>
        close(
          s,
          worker.slot,
          'TIMEOUT',
          `this worker sent nothing for too long while ${worker.phase}`,
        ),
      );
    }
  }
  next = andThen(next, (s) => dismissHolders(s, now));
  if (state.phase !== 'gathering' || !isTimeUp(state, now) || isEnough(state, now)) return next;
  return andThen(next, (s) => end(s, tooFewWorkers(s, computingCount(s))));
}

/** Counts a step or an evaluation with late workers once, however many are late. */
function countStraggler(state: RunState, before: Task | undefined): RunState {
  const isCounted = [...(before?.parts.values() ?? [])].some(({ leases }) =>
    leases.some((lease) => lease.state === 'late'),
  );
  if (isCounted) return state;
  return { ...state, counts: { ...state.counts, stragglerSteps: state.counts.stragglerSteps + 1 } };
}

function markLate(state: RunState, slot: number, now: number): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined || worker.late) return { state, effects: [] };
  const late = { ...worker, late: true, silentAt: now + limits.IDLE_LIMIT_MILLISECONDS };
  return recordFailure(withWorker(state, late), slot, 'is late; its work is reassigned', now, {
    late: true,
  });
}

/** Makes a worker that was set aside eligible for work again. */
function endSetAside(state: RunState, slot: number): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const reliable = { ...worker, asideUntil: undefined };
  return {
    state: withWorker(state, reliable),
    effects: recovered(reliable, 'gets work again'),
  };
}

/** The event that ends `lease_again` and `set_aside`, once neither applies any more. */
function recovered({ name, late, asideUntil }: WorkerState, how: string): Effect[] {
  return late || asideUntil !== undefined ? [] : [log('back', `${name} ${how}`, { worker: name })];
}

function protocolError(state: RunState, worker: WorkerState, kind: string): Next {
  return close(state, worker.slot, 'PROTOCOL', `this worker sent "${kind}" while ${worker.phase}`);
}
