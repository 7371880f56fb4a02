import type { Configuration } from '../../shared/configuration.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import { CLAIM_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import type { ShardTimes, Task, Assignment } from './task.ts';

/**
 * What the coordinator knows. Only the reducers of this folder make a new state; the driver holds
 * the current one. Tensors never stand here: the shell keeps them by part, and the reducers say
 * what to do with them.
 */
export interface RunState {
  readonly settings: Settings;
  readonly phase: Phase;
  /** Whether it was ever running: then fewer workers do. */
  readonly started: boolean;
  /** The last step whose weights are in place. */
  readonly step: number;
  /** The last step after which the test set was evaluated. */
  readonly evaluated: number;
  readonly workers: ReadonlyMap<number, WorkerState>;
  /** The open step or evaluation. */
  readonly task: Task | undefined;
  /** The fingerprint all computing workers share; fixed when the first step is planned. */
  readonly fingerprint: string | undefined;
  /**
   * Whether a step was done by workers with that fingerprint, or a run that is resumed knows it:
   * until then it is a claim.
   */
  readonly isProven: boolean;
  /**
   * How long a claim may hold up a worker that computes other bytes: twice as long after each that
   * did.
   */
  readonly claimMilliseconds: number;
  /** The engine of the worker whose fingerprint that is. */
  readonly engine: EngineIdentity | undefined;
  /** Whether a worker of another fingerprint was ever let in. */
  readonly mixed: boolean;
  /** Since when too few workers are ready, in milliseconds of the shell's clock. */
  readonly waitingSince: number | undefined;
  readonly times: ShardTimes;
  /** By the number of real shards: a short batch has its own. */
  readonly plans: ReadonlyMap<number, ShardPlan>;
  /** The last step a checkpoint was asked for, and when. */
  readonly checkpoint: { readonly step: number; readonly at: number };
  /** Set by Ctrl-C: the run ends after the open step. */
  readonly stopping: ErrorCode | undefined;
  readonly counts: Counts;
  /**
   * Training samples each worker's accepted results covered, by name; it outlives their
   * connections.
   */
  readonly delivered: ReadonlyMap<string, number>;
  /**
   * The step after which that is counted: what came before is not known after a crash of an older
   * version.
   */
  readonly countedFrom: number;
  /** The last steps that are done, the newest last: what comes late is compared with them. */
  readonly closed: readonly Task[];
  /** Workers that were found to be wrong, and the steps they may have spoiled. */
  readonly suspects: readonly Suspect[];
  /** Whether something was to be audited lately that nobody was there for. */
  readonly isAuditIdle: boolean;
}

/** Steps `from` to `to` may hold results of this worker that nobody else has computed. */
export interface Suspect {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

/** `ended` is the only terminal phase. */
export type Phase = 'gathering' | 'running' | 'ended';

export interface Settings extends RunPolicy {
  readonly run: string;
  readonly term: number;
  readonly configuration: Configuration;
  readonly totalSteps: number;
  /**
   * The steps after which the test set is evaluated, where these are not each epoch's last and the
   * last of all.
   */
  readonly evaluateAfter?: ReadonlySet<number> | undefined;
}

/** How a run treats its workers; no byte of it depends on that. */
export interface RunPolicy {
  /** Workers to wait for before the first step, until the time is up. */
  readonly startWorkers: number;
  /** Workers without which nothing goes on. */
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly rendezvousMilliseconds: number;
  readonly allowMixedEngines: boolean;
  readonly checkpointEvery: CheckpointInterval;
  /** Undefined computes nothing twice. */
  readonly audit: Audit | undefined;
}

/** Which subtrees are computed by a second worker too. */
export interface Audit {
  /** The share of all subtrees, above 0 and at most 1. */
  readonly rate: number;
  /** The key the choice is drawn with, two 32-bit words that no worker knows. */
  readonly key: readonly [number, number];
}

/** After how many steps, or milliseconds, a checkpoint is due. */
export type CheckpointInterval = { readonly steps: number } | { readonly milliseconds: number };

/** Where a run goes on that was begun before. */
export interface Resumed {
  readonly step: number;
  readonly evaluated: number;
  /** Of the only engine that is let in; undefined where the workers that come decide. */
  readonly fingerprint: string | undefined;
  readonly engine: EngineIdentity | undefined;
  readonly mixed: boolean;
  readonly delivered: ReadonlyMap<string, number>;
  readonly countedFrom: number;
  readonly suspects: readonly Suspect[];
}

/**
 * One budget for all that a worker may say without being asked: heartbeats, reports, WebSocket
 * pings and pongs, and more results than it was asked for. It fills up with time. An honest worker
 * needs one message a second and never sees its end, even where everything that it has said during
 * a suspension arrives at once. A result that was asked for costs nothing, however late it comes.
 */
export interface Budget {
  readonly messages: number;
  readonly at: number;
}

export interface WorkerState {
  readonly slot: number;
  readonly name: string;
  readonly session: string;
  /** `ready` workers may hold leases; there is no way back. */
  readonly phase: 'connected' | 'preparing' | 'ready';
  readonly engine: EngineIdentity | undefined;
  readonly fingerprint: string | undefined;
  /** When an idle or preparing worker has been silent for too long. */
  readonly silentAt: number;
  /** Whether it has said how long it prepares, which it does once. */
  readonly hasAnnounced: boolean;
  /** Whether it was said that it computes other bytes than the run, and waits. */
  readonly isStrange: boolean;
  /** When it connected. */
  readonly connectedAt: number;
  /** What it may still say without being asked. */
  readonly budget: Budget;
  /** The results that it was asked for and has not sent yet. */
  readonly unanswered: number;
  /** From when on its word about its GPUs is listened to again. */
  readonly devicesAt: number;
  /** The last step in which another worker has confirmed what this one was asked for first. */
  readonly confirmed: number | undefined;
  /** Whether a result of it came late and differed. */
  readonly hasDiffered: boolean;
  /** Whether a gradient of it was accepted. */
  readonly hasDelivered: boolean;
  /** The task whose weights it was sent. */
  readonly weightsOf: string | undefined;
  /** It missed a lease and has not answered since. */
  readonly late: boolean;
  /** How fast it delivered lately. */
  readonly pace: Pace | undefined;
  /** How often it failed lately (standing.ts). */
  readonly failures: number;
  /** Until when others are preferred to it, because it failed again and again. */
  readonly asideUntil: number | undefined;
}

export interface Pace {
  /**
   * Milliseconds per shard by the worker's own clock, a call counted as a shard too: the best of
   * lately.
   */
  readonly milliseconds: number;
  readonly measured: number;
}

/**
 * Who computes what in steps of so many real shards, kept from step to step so that workers can
 * prepare.
 */
export interface ShardPlan {
  readonly slots: readonly number[];
  readonly assignment: Assignment;
  /** The step in which it is compared with a new one. */
  readonly review: number;
}

export interface Counts {
  readonly duplicates: number;
  readonly fenced: number;
  readonly reassigned: number;
  /** Results that differ from what was accepted or from what most say. */
  readonly differing: number;
  /** Results that are not finite, and the steps in which there were some. */
  readonly nonFinite: number;
  readonly nonFiniteSteps: number;
  /** Steps and evaluations in which a worker missed its deadline. */
  readonly stragglerSteps: number;
}

export function initialState(settings: Settings, now: number, resumed?: Resumed): RunState {
  return {
    settings,
    phase: 'gathering',
    started: false,
    step: resumed?.step ?? 0,
    evaluated: resumed?.evaluated ?? 0,
    workers: new Map(),
    task: undefined,
    fingerprint: resumed?.fingerprint,
    isProven: resumed?.fingerprint !== undefined,
    claimMilliseconds: CLAIM_LIMIT_MILLISECONDS,
    engine: resumed?.engine,
    mixed: resumed?.mixed ?? false,
    waitingSince: now,
    times: { step: [], evaluation: [] },
    plans: new Map(),
    stopping: undefined,
    counts: {
      duplicates: 0,
      fenced: 0,
      reassigned: 0,
      differing: 0,
      nonFinite: 0,
      nonFiniteSteps: 0,
      stragglerSteps: 0,
    },
    delivered: resumed?.delivered ?? new Map(),
    countedFrom: resumed?.countedFrom ?? 0,
    closed: [],
    suspects: resumed?.suspects ?? [],
    isAuditIdle: false,
    checkpoint: { step: resumed?.step ?? 0, at: now },
  };
}

export function withWorker(state: RunState, worker: WorkerState): RunState {
  return { ...state, workers: new Map(state.workers).set(worker.slot, worker) };
}
