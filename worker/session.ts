import {
  ClusterError,
  CLOSE_FINISHED,
  errorCodeOfClose,
  errorTable,
  unreachable,
  type ErrorCode,
} from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import { type EngineIdentity } from '../shared/engine-identity.ts';
import { PROTOCOL, type CoordinatorMessage, type WorkerMessage } from '../shared/wire/messages.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';

/**
 * The worker's side of a run, from dialling to the end. Pure, like the coordinator's reducers:
 * client.ts performs the effects. `ended` is the only terminal phase.
 */
export interface SessionState {
  readonly settings: SessionSettings;
  readonly phase: 'dialling' | 'joining' | 'preparing' | 'ready' | 'ended';
  /** The highest term seen; a lower one is a coordinator that was superseded. */
  readonly term: number;
  readonly run: string;
  readonly slot: number;
  readonly session: string | undefined;
  /** The step or evaluation whose weights are at hand. */
  readonly weightsOf: { readonly kind: 'step' | 'evaluation'; readonly step: number } | undefined;
  /**
   * Failed attempts since the run last went on with this worker, and since when; time with a
   * connection is no wait.
   */
  readonly attempts: number;
  readonly failingSince: number | undefined;
  /** When this connection was welcomed. */
  readonly welcomedAt: number | undefined;
  /** Why the last attempt failed. */
  readonly fault: ErrorCode | undefined;
  /** Why the coordinator says it closes the connection. */
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
  /** Dialling failed, or preparing or computing did. */
  | { readonly kind: 'failed'; readonly error: ClusterError }
  /**
   * The connection is of no use: silent for too long, or a frame from the coordinator was damaged.
   */
  | { readonly kind: 'broken'; readonly error: ClusterError }
  | { readonly kind: 'closed'; readonly code: number }
);

export type SessionEffect =
  /**
   * Wait (with jitter), ask GET /run, fetch what data is missing, connect: `opened` or `failed`.
   */
  | {
      readonly kind: 'dial';
      readonly afterMilliseconds: number;
      /**
       * What went wrong, at the first of several attempts, and where it is another kind of fault
       * than before.
       */
      readonly because?: ClusterError | undefined;
    }
  | { readonly kind: 'send'; readonly message: WorkerMessage }
  /** Build and warm all graphs, compute the fingerprint: `prepared` or `failed`. */
  | { readonly kind: 'prepare' }
  | { readonly kind: 'takeWeights' }
  | {
      readonly kind: 'compute';
      readonly task: 'step' | 'evaluation';
      readonly step: number;
      readonly parts: readonly number[];
    }
  /** The answers are on their way: use the wait to build the likely next batches. */
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
  if (state.phase === 'ended') return { state, effects: [] };
  switch (event.kind) {
    case 'start':
      return { state, effects: [{ kind: 'dial', afterMilliseconds: 0 }] };
    case 'opened':
      return {
        state: { ...state, phase: 'joining', farewell: undefined },
        effects: [{ kind: 'send', message: hello(state) }],
      };
    // Between connections these can only be left over from the one that was given up: dialled is
    // once.
    case 'message':
      return state.phase === 'dialling'
        ? { state, effects: [] }
        : hear(state, event.message, event.now);
    case 'broken':
      return state.phase === 'dialling'
        ? { state, effects: [] }
        : fail(state, event.error, event.now);
    case 'closed':
      return state.phase === 'dialling'
        ? { state, effects: [] }
        : closed(state, event.code, event.now);
    case 'prepared': {
      const ready: WorkerMessage = {
        kind: 'ready',
        fingerprint: event.fingerprint,
        engine: event.engine,
      };
      return state.phase === 'preparing'
        ? { state: { ...state, phase: 'ready' }, effects: [{ kind: 'send', message: ready }] }
        : { state, effects: [] };
    }
    case 'failed':
      return fail(state, event.error, event.now);
  }
}

function hello({ settings, session }: SessionState): WorkerMessage {
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

function hear(state: SessionState, message: CoordinatorMessage, now: number): SessionNext {
  switch (message.kind) {
    case 'welcome': {
      if (state.phase !== 'joining') return breach(state, message.kind);
      if (message.run === state.run && message.term < state.term) {
        const what = `the coordinator at this address is of term ${message.term}, and one of term ${state.term} has taken its run over`;
        return fail(state, new ClusterError('SUPERSEDED', what), now);
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
      if (state.phase !== 'ready' || isForeign(state, message)) return breach(state, message.kind);
      const task = message.kind === 'step' ? 'step' : 'evaluation';
      if (message.kind === 'evaluate' && chunksOf(message) > limits.MAX_EVALUATION_CHUNKS)
        return breach(state, message.kind);
      const parts = partsOf(message, state.slot);
      // The second weights of a connection say that the run goes on with this worker: its failures
      // are forgotten.
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
      if (state.phase !== 'ready' || isForeign(state, message) || weightsOf?.step !== message.step)
        return breach(state, message.kind);
      return {
        state,
        effects: [
          { kind: 'compute', task: weightsOf.kind, step: message.step, parts: message.parts },
        ],
      };
    }
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

/** Before they are counted up: a short header can ask for millions. */
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

/** The coordinator broke the contract: nothing more is taken from this connection. */
function breach(state: SessionState, kind: string): SessionNext {
  const error = new ClusterError(
    'PROTOCOL',
    `the coordinator sent "${kind}" while this worker was ${state.phase}, or for another run or term`,
  );
  return {
    state: { ...state, phase: 'ended' },
    effects: [{ kind: 'disconnect' }, { kind: 'end', error }],
  };
}

function closed(state: SessionState, code: number, now: number): SessionNext {
  if (code === CLOSE_FINISHED)
    return { state: { ...state, phase: 'ended' }, effects: [{ kind: 'end', error: undefined }] };
  const known = state.farewell?.code ?? errorCodeOfClose(code);
  const message = state.farewell?.message ?? `the connection to the coordinator closed (${code})`;
  return fail(state, new ClusterError(known ?? 'UNREACHABLE', message), now);
}

/** Faults of what answers a dial. */
const ofTheAnswer = new Set<ErrorCode>(['UNAUTHORIZED', 'TLS', 'VERSION', 'PROTOCOL']);

/**
 * A worker that was in a run may meet another process at the address while the coordinator is
 * started again.
 */
function canRetry({ phase, term }: SessionState, code: ErrorCode): boolean {
  return errorTable[code].retry || (phase === 'dialling' && term > 0 && ofTheAnswer.has(code));
}

/**
 * Dial again where that can help, with growing pauses, until --max-retries or --max-wait-time is
 * used up. A connection that ends before the run went on with this worker is one more failure, so
 * that a coordinator which lets it in and cuts it off again and again is not dialled for ever.
 */
function fail(state: SessionState, error: ClusterError, now: number): SessionNext {
  const attempts = state.attempts + 1;
  const connected = state.welcomedAt === undefined ? 0 : now - state.welcomedAt;
  const failingSince = state.failingSince === undefined ? now : state.failingSince + connected;
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
