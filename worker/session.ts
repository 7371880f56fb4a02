import {
  ClusterError,
  CLOSE_FINISHED,
  errorCodeOfClose,
  errorTable,
  unreachable,
  type ErrorCode,
} from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import type { EngineIdentity } from '../shared/engine-identity.ts';
import type { CoordinatorMessage, WorkerMessage } from '../shared/wire/messages.ts';
import { PROTOCOL } from '../shared/wire/protocol.ts';
import { taskKindOf, taskOrder, type TaskKind } from '../shared/wire/task-order.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';

/**
 * A worker's state in a run, from the first dial to the end. `reduceSession` is pure, like the
 * coordinator's reducers; client.ts performs its effects. `ended` is the only terminal phase.
 */
export interface SessionState {
  readonly settings: SessionSettings;
  readonly phase: 'dialling' | 'joining' | 'preparing' | 'ready' | 'following' | 'ended';
  /** Whether `next` named the run and the term of this session, which `welcome` must then have. */
  readonly isFollowing: boolean;
  /** The highest term seen so far. A coordinator with a lower term has been taken over. */
  readonly term: number;
  readonly run: string;
  readonly slot: number;
  readonly session: string | undefined;
  /** The step or evaluation whose weights the worker has. */
  readonly weightsOf: { readonly kind: TaskKind; readonly step: number } | undefined;
  /**
   * Failed attempts since this worker last computed for the run, and when the first one began.
   * Time with a connection does not count as waiting: it moves `failingSince` forward.
   */
  readonly attempts: number;
  readonly failingSince: number | undefined;
  /** When the coordinator admitted this connection. */
  readonly welcomedAt: number | undefined;
  /** The error code of the last attempt. */
  readonly fault: ErrorCode | undefined;
  /** The reason that the coordinator gave for closing the connection. */
  readonly farewell: { readonly code: ErrorCode; readonly message: string } | undefined;
}

export interface SessionSettings {
  readonly name: string;
  readonly version: string;
  readonly maxRetries: number;
  readonly maxWaitMilliseconds: number;
  readonly prepareLimitMilliseconds: number;
}

export type SessionEvent = { readonly now: number } & (
  | { readonly kind: 'start' }
  | { readonly kind: 'opened' }
  | { readonly kind: 'message'; readonly message: CoordinatorMessage }
  | { readonly kind: 'prepared'; readonly fingerprint: string; readonly engine: EngineIdentity }
  /** The run that follows is described, and its shared memory is open. */
  | { readonly kind: 'described' }
  /** Dialling, preparing or computing failed; `since` is when this attempt to dial began. */
  | { readonly kind: 'failed'; readonly error: ClusterError; readonly since?: number }
  /**
   * The connection must be closed: the coordinator was silent for too long or sent a damaged frame.
   */
  | { readonly kind: 'broken'; readonly error: ClusterError }
  | { readonly kind: 'closed'; readonly code: number }
);

export type SessionEffect =
  /** Wait (with jitter), fetch the run's description, and connect. `opened` or `failed` follows. */
  | {
      readonly kind: 'dial';
      readonly afterMilliseconds: number;
      /** The error to log; undefined if the previous attempt failed with the same code. */
      readonly because?: ClusterError | undefined;
    }
  | { readonly kind: 'send'; readonly message: WorkerMessage }
  /**
   * Leave the shared memory of the run that is over, fetch the description of the one that follows,
   * and open its shared memory. `described` or `failed` follows.
   */
  | { readonly kind: 'follow'; readonly run: string }
  /**
   * Load the data, build and warm up all graphs, and compute the fingerprint. `prepared` or
   * `failed` follows.
   */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'takeWeights' }
  | {
      readonly kind: 'compute';
      readonly task: TaskKind;
      readonly step: number;
      readonly parts: readonly number[];
    }
  /** While the results are being sent, build the batches that the next step is likely to need. */
  | { readonly kind: 'prefetch'; readonly step: number; readonly parts: readonly number[] }
  | { readonly kind: 'disconnect' }
  | { readonly kind: 'end'; readonly error: ClusterError | undefined };

export interface SessionNext {
  readonly state: SessionState;
  readonly effects: readonly SessionEffect[];
}

export function initialSession(settings: SessionSettings): SessionState {
  return {
    settings,
    phase: 'dialling',
    isFollowing: false,
    term: 0,
    run: '',
    slot: 0,
    session: undefined,
    weightsOf: undefined,
    attempts: 0,
    failingSince: undefined,
    welcomedAt: undefined,
    fault: undefined,
    farewell: undefined,
  };
}

export function reduceSession(state: SessionState, event: SessionEvent): SessionNext {
  if (state.phase === 'ended' || isStale(state, event)) return { state, effects: [] };
  switch (event.kind) {
    case 'start':
      return { state, effects: [{ kind: 'dial', afterMilliseconds: 0 }] };
    case 'opened':
      return {
        state: { ...state, phase: 'joining', isFollowing: false, farewell: undefined },
        effects: [{ kind: 'send', message: hello(state) }],
      };
    case 'described':
      return {
        state: { ...state, phase: 'joining' },
        effects: [{ kind: 'send', message: { ...hello(state), run: state.run } }],
      };
    case 'message':
      return onMessage(state, event.message, event.now);
    case 'prepared': {
      const { fingerprint, engine } = event;
      return {
        state: { ...state, phase: 'ready' },
        effects: [{ kind: 'send', message: { kind: 'ready', fingerprint, engine } }],
      };
    }
    case 'closed':
      return onClose(state, event.code, event.now);
    case 'failed':
      return retryOrEnd(state, event.error, event.now, event.since);
    case 'broken':
      return retryOrEnd(state, event.error, event.now);
  }
}

/** Whether an event is left over from the previous connection. Each dial opens a new connection. */
function isStale({ phase }: SessionState, { kind }: SessionEvent): boolean {
  if (kind === 'prepared') return phase !== 'preparing';
  if (kind === 'described') return phase !== 'following';
  return phase === 'dialling' && (kind === 'message' || kind === 'broken' || kind === 'closed');
}

function hello({ settings, session }: SessionState): Extract<WorkerMessage, { kind: 'hello' }> {
  const { name, version } = settings;
  return {
    kind: 'hello',
    protocol: PROTOCOL,
    arithmetic: ARITHMETIC,
    version,
    name,
    ...(session === undefined ? {} : { session }),
  };
}

function onMessage(state: SessionState, message: CoordinatorMessage, now: number): SessionNext {
  switch (message.kind) {
    case 'welcome': {
      if (state.phase !== 'joining' || (state.isFollowing && isForeign(state, message)))
        return violation(state, message.kind);
      if (message.run === state.run && message.term < state.term) {
        const what = `the coordinator at this address has term ${message.term}`;
        const why = `a coordinator with term ${state.term} took over its run`;
        return retryOrEnd(state, new ClusterError('LOCKED', `${what}; ${why}`), now);
      }
      const { run, term, slot, session } = message;
      const preparing: WorkerMessage = {
        kind: 'preparing',
        limitMilliseconds: state.settings.prepareLimitMilliseconds,
      };
      return {
        state: {
          ...state,
          phase: 'preparing',
          isFollowing: false,
          run,
          term,
          slot,
          session,
          weightsOf: undefined,
          welcomedAt: now,
          fault: undefined,
        },
        effects: [{ kind: 'send', message: preparing }, { kind: 'prepare' }],
      };
    }
    case 'step':
    case 'evaluate': {
      if (state.phase !== 'ready' || isForeign(state, message))
        return violation(state, message.kind);
      const task = taskKindOf(message);
      if (isOvertaken(state, task, message.step)) return { state, effects: [] };
      if (message.kind === 'evaluate' && chunksOf(message) > limits.MAX_EVALUATION_CHUNKS)
        return violation(state, message.kind);
      const parts = partsOf(message, state.slot);
      // The second set of weights on a connection shows that the run continues with this worker, so
      // its failed attempts are forgotten.
      const isWorking = state.weightsOf !== undefined;
      const next: SessionState = {
        ...state,
        weightsOf: { kind: task, step: message.step },
        attempts: isWorking ? 0 : state.attempts,
        failingSince: isWorking ? undefined : state.failingSince,
      };
      const prefetch: SessionEffect[] =
        task === 'step' ? [{ kind: 'prefetch', step: message.step + 1, parts }] : [];
      return {
        state: next,
        effects: [
          { kind: 'takeWeights' },
          { kind: 'compute', task, step: message.step, parts },
          ...prefetch,
        ],
      };
    }
    case 'lease': {
      const { weightsOf } = state;
      if (state.phase !== 'ready' || isForeign(state, message) || weightsOf === undefined)
        return violation(state, message.kind);
      if (isOvertaken(state, message.task, message.step)) return { state, effects: [] };
      if (taskOrder(weightsOf.kind, weightsOf.step) !== taskOrder(message.task, message.step))
        return violation(state, message.kind);
      return {
        state,
        effects: [
          { kind: 'compute', task: weightsOf.kind, step: message.step, parts: message.parts },
        ],
      };
    }
    case 'next': {
      const { run, term } = message;
      // A run is served once on a connection. The worker may not have been welcomed to the one that
      // is over.
      const isInRun = state.phase === 'ready' || state.phase === 'joining';
      if (!isInRun || run === state.run) return violation(state, message.kind);
      return {
        state: {
          ...state,
          phase: 'following',
          isFollowing: true,
          run,
          term,
          session: undefined,
          weightsOf: undefined,
        },
        effects: [{ kind: 'follow', run }],
      };
    }
    case 'channel':
    case 'heartbeat':
      return { state, effects: [] };
    case 'bye':
      return {
        state: { ...state, farewell: { code: message.code, message: message.message } },
        effects: [],
      };
    default:
      return unreachable(message);
  }
}

/**
 * Whether the worker has weights of a later task: a message over the socket may be read after one
 * through shared memory that was sent later.
 */
function isOvertaken({ weightsOf }: SessionState, task: TaskKind, step: number): boolean {
  return (
    weightsOf !== undefined && taskOrder(task, step) < taskOrder(weightsOf.kind, weightsOf.step)
  );
}

/** Adds up the chunks before they are expanded: a short header can request millions of them. */
function chunksOf({ assignment }: Extract<CoordinatorMessage, { kind: 'evaluate' }>): number {
  return assignment.reduce((sum, [, , count]) => sum + count, 0);
}

function isForeign(state: SessionState, message: { run: string; term: number }): boolean {
  return message.run !== state.run || message.term !== state.term;
}

function partsOf(
  message: Extract<CoordinatorMessage, { kind: 'step' | 'evaluate' }>,
  slot: number,
): number[] {
  if (message.kind === 'step')
    return message.assignment.find(([to]) => to === slot)?.slice(1) ?? [];
  return message.assignment.flatMap(([to, first, count]) =>
    to === slot ? Array.from({ length: count }, (_, i) => first + i) : [],
  );
}

/** Ends the session, because the coordinator violated the protocol. */
function violation(state: SessionState, kind: string): SessionNext {
  const error = new ClusterError(
    'PROTOCOL',
    `the coordinator sent "${kind}", which does not fit this worker's phase ` +
      `(${state.phase}), run or term`,
  );
  return {
    state: { ...state, phase: 'ended' },
    effects: [{ kind: 'disconnect' }, { kind: 'end', error }],
  };
}

function onClose(state: SessionState, code: number, now: number): SessionNext {
  if (code === CLOSE_FINISHED)
    return { state: { ...state, phase: 'ended' }, effects: [{ kind: 'end', error: undefined }] };
  const named = state.farewell?.code ?? errorCodeOfClose(code);
  // A bug in the coordinator is not this worker's fault, so the worker retries, as it would after a
  // crash.
  const known = named === undefined || named === 'UNEXPECTED' ? 'UNREACHABLE' : named;
  const message =
    state.farewell?.message ?? `the connection to the coordinator was closed (${code})`;
  return retryOrEnd(state, new ClusterError(known, message), now);
}

/** Errors caused by the process at the coordinator's address. */
const answerErrors = new Set<ErrorCode>(['UNAUTHORIZED', 'TLS', 'VERSION', 'PROTOCOL']);

/**
 * While the coordinator restarts, another process may answer at its address. A worker that was
 * already in the run therefore retries.
 */
function canRetry({ phase, term }: SessionState, code: ErrorCode): boolean {
  return errorTable[code].retry || (phase === 'dialling' && term > 0 && answerErrors.has(code));
}

/**
 * Dials again if that can help, after increasing pauses, until --max-retries or --max-wait-time is
 * exhausted. A connection that ends before the worker has computed for the run counts as a failure,
 * so a worker does not keep dialling a coordinator that always disconnects it.
 */
function retryOrEnd(
  state: SessionState,
  error: ClusterError,
  now: number,
  since: number = now,
): SessionNext {
  const attempts = state.attempts + 1;
  const connected = state.welcomedAt === undefined ? 0 : now - state.welcomedAt;
  const failingSince = state.failingSince === undefined ? since : state.failingSince + connected;
  const { maxRetries, maxWaitMilliseconds } = state.settings;
  const isSpent = attempts > maxRetries || now - failingSince >= maxWaitMilliseconds;
  if (!canRetry(state, error.code) || isSpent) {
    return {
      state: { ...state, phase: 'ended' },
      effects: [{ kind: 'disconnect' }, { kind: 'end', error }],
    };
  }
  const pause = Math.min(
    limits.FIRST_REDIAL_MILLISECONDS * 2 ** (attempts - 1),
    limits.MAX_REDIAL_MILLISECONDS,
  );
  return {
    state: {
      ...state,
      phase: 'dialling',
      attempts,
      failingSince,
      welcomedAt: undefined,
      fault: error.code,
      farewell: undefined,
      weightsOf: undefined,
    },
    effects: [
      { kind: 'disconnect' },
      {
        kind: 'dial',
        afterMilliseconds: pause,
        because: state.fault === error.code ? undefined : error,
      },
    ],
  };
}
