import type { Budget } from '../../shared/budget.ts';
import type { Configuration } from '../../shared/configuration.ts';
import type { ErrorCode } from '../../shared/errors.ts';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import {
  notEvaluated,
  type EvaluatedSet,
  type EvaluatedSteps,
} from '../../shared/evaluation/evaluated-set.ts';
import type { Judgement } from '../../shared/evaluation/judgement.ts';
import { CLAIM_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import type { ShardTimes, Task, Assignment } from './task.ts';

/**
 * Everything that the coordinator bases its decisions on. The reducers in this folder derive new
 * states; the driver holds the current one. The state contains no tensors: the shell keeps them by
 * part, and effects say what to do with them.
 */
export interface RunState {
  readonly settings: Settings;
  readonly phase: Phase;
  /**
   * Whether this coordinator has started the run; from then on, `minWorkers` workers are enough to
   * continue.
   */
  readonly started: boolean;
  /** The last completed step. */
  readonly step: number;
  readonly evaluated: EvaluatedSteps;
  /** With early stopping, after the first evaluation that counts; otherwise undefined. */
  readonly judgement: Judgement | undefined;
  readonly workers: ReadonlyMap<number, WorkerState>;
  /** Which weights are the current ones; at the end, those of the best evaluation may be tested. */
  readonly weights: Weights;
  /** Whether other weights are being restored. */
  readonly isRestoring: boolean;
  /** Steps to evaluate even within an epoch; see `Resumed`. */
  readonly repeated: ReadonlySet<number>;
  /** The open step or evaluation. */
  readonly task: Task | undefined;
  /** The fingerprint of all computing workers; set when the first step begins. */
  readonly fingerprint: string | undefined;
  /**
   * Whether a step has been completed with the fingerprint, here or before the run was resumed.
   * Until then, the fingerprint is provisional.
   */
  readonly isProven: boolean;
  /**
   * How long a provisional fingerprint may keep a worker with a different fingerprint waiting. It
   * doubles each time the limit is reached.
   */
  readonly provisionalMilliseconds: number;
  /** The engine of a worker with the run's fingerprint. */
  readonly engine: EngineIdentity | undefined;
  /** Whether a worker with a different fingerprint was ever admitted. */
  readonly mixed: boolean;
  /** Since when there have been too few ready workers, in milliseconds by the shell's clock. */
  readonly waitingSince: number | undefined;
  readonly times: ShardTimes;
  /** Plans by the number of real shards, since an epoch's short last batch has its own plan. */
  readonly plans: ReadonlyMap<number, ShardPlan>;
  /** The step and time of the last checkpoint. */
  readonly checkpoint: { readonly step: number; readonly at: number };
  /** Why the run will end after the open step, for example because of Ctrl-C. */
  readonly stopping: ErrorCode | undefined;
  readonly counts: Counts;
  /**
   * Training samples in each worker's accepted results, by name. The counts outlive the worker's
   * connections.
   */
  readonly delivered: ReadonlyMap<string, number>;
  /** `delivered` counts the steps after this one. Above 0 if an older version crashed. */
  readonly countedFrom: number;
  /** The last closed steps, the newest last: late results are compared with them. */
  readonly closed: readonly Task[];
  /** Workers that sent wrong results, and the steps that may contain more of them. */
  readonly suspects: readonly Suspect[];
  /** Whether the last audit was skipped because no other worker could do it. */
  readonly isAuditSkipped: boolean;
}

/** The weights of the last step, or of the best evaluation. */
export type Weights = 'last' | 'best';

/** Steps `from` to `to` may contain wrong results from this worker. */
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
  /** The steps after which to evaluate each set; close-step.ts has the default. */
  readonly evaluateAfter?: EvaluationSteps | undefined;
}

/** The steps after which a replay evaluates each set. */
export type EvaluationSteps = Readonly<Record<EvaluatedSet, ReadonlySet<number>>>;

/** How a run treats its workers. The run's bytes do not depend on these settings. */
export interface RunPolicy {
  /** The number of workers to wait for before the first step, until the timeout. */
  readonly startWorkers: number;
  /** The minimum number of workers to start and to continue. */
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly rendezvousMilliseconds: number;
  readonly allowMixedEngines: boolean;
  readonly checkpointEvery: CheckpointInterval;
  /** Undefined disables audits. */
  readonly audit: Audit | undefined;
}

/** Which subtrees a second worker computes as well. */
export interface Audit {
  /** The ratio of audited subtrees, above 0 and at most 1. */
  readonly rate: number;
  /** The key of the random draw, two 32-bit words that no worker knows. */
  readonly key: readonly [number, number];
}

/** The interval between checkpoints, in steps or milliseconds. */
export type CheckpointInterval = { readonly steps: number } | { readonly milliseconds: number };

/** The state from which a run resumes. */
export interface Resumed {
  readonly step: number;
  readonly evaluated: EvaluatedSteps;
  readonly judgement?: Judgement | undefined;
  /**
   * Steps whose evaluation was recorded after the checkpoint, and is repeated even if the run has
   * become longer in the meantime.
   */
  readonly repeated?: ReadonlySet<number> | undefined;
  /** The only fingerprint that is admitted; undefined if the next workers to join determine it. */
  readonly fingerprint: string | undefined;
  readonly engine: EngineIdentity | undefined;
  readonly mixed: boolean;
  readonly delivered: ReadonlyMap<string, number>;
  readonly countedFrom: number;
  readonly suspects: readonly Suspect[];
}

/** The state at the beginning of a run, with any engine. */
export const beginning: Resumed = {
  step: 0,
  evaluated: notEvaluated,
  fingerprint: undefined,
  engine: undefined,
  mixed: false,
  delivered: new Map(),
  countedFrom: 0,
  suspects: [],
};

export interface WorkerState {
  readonly slot: number;
  readonly name: string;
  readonly session: string;
  /** Phases follow in this order. Only `ready` workers get leases. */
  readonly phase: 'connected' | 'preparing' | 'ready';
  readonly engine: EngineIdentity | undefined;
  readonly fingerprint: string | undefined;
  /** Deadline for the next message from an idle worker, or for a new worker to become ready. */
  readonly silentAt: number;
  /** Whether it has sent `preparing`, which it may do only once. */
  readonly hasAnnounced: boolean;
  /** Whether the log says that it is waiting because its fingerprint differs from the run's. */
  readonly isMismatched: boolean;
  readonly connectedAt: number;
  /**
   * The budget for unrequested messages: heartbeats, reports, WebSocket pings and pongs, and
   * results that the worker was not asked for. An honest worker sends one message a second, so its
   * budget lasts even if all messages from a suspension arrive together. Requested results are
   * free, however late they come.
   */
  readonly budget: Budget;
  /** The number of results that it was asked for and has not sent yet. */
  readonly unanswered: number;
  /** The earliest time at which its next GPU readings are accepted. */
  readonly devicesAt: number;
  /** The last step in which another worker confirmed one of its results. */
  readonly confirmed: number | undefined;
  /** Whether one of its late results differed from the accepted one. */
  readonly hasDiffered: boolean;
  /** Whether one of its gradients was accepted. */
  readonly hasDelivered: boolean;
  /** The task whose weights it was sent last. */
  readonly weightsOf: string | undefined;
  /** Whether it missed a deadline and has not answered since. */
  readonly late: boolean;
  /** Its recent speed. */
  readonly pace: Pace | undefined;
  /** The number of recent failures, which decays with success (worker-trust.ts). */
  readonly failures: number;
  /**
   * After repeated failures, the time until which it gets only work that no other worker can do.
   */
  readonly asideUntil: number | undefined;
}

export interface Pace {
  /**
   * The best recent time per shard, in milliseconds by the worker's clock; an engine call counts as
   * one shard.
   */
  readonly milliseconds: number;
  readonly measured: number;
}

/** The assignment of shards, kept from step to step so that workers can prepare their batches. */
export interface ShardPlan {
  readonly slots: readonly number[];
  readonly assignment: Assignment;
  /** The step at which this plan is compared with a new one. */
  readonly review: number;
}

export interface Counts {
  readonly duplicates: number;
  readonly fenced: number;
  readonly reassigned: number;
  /** Results that differ from the accepted result or from the majority. */
  readonly differing: number;
  /** Results that were not finite, and the steps that had such results. */
  readonly nonFinite: number;
  readonly nonFiniteSteps: number;
  /** Steps and evaluations in which a worker missed its deadline. */
  readonly stragglerSteps: number;
}

export const noCounts: Counts = {
  duplicates: 0,
  fenced: 0,
  reassigned: 0,
  differing: 0,
  nonFinite: 0,
  nonFiniteSteps: 0,
  stragglerSteps: 0,
};

export function initialState(
  settings: Settings,
  now: number,
  resumed: Resumed = beginning,
): RunState {
  return {
    settings,
    phase: 'gathering',
    started: false,
    step: resumed.step,
    evaluated: resumed.evaluated,
    judgement: resumed.judgement,
    weights: 'last',
    isRestoring: false,
    repeated: resumed.repeated ?? new Set(),
    workers: new Map(),
    task: undefined,
    fingerprint: resumed.fingerprint,
    isProven: resumed.fingerprint !== undefined,
    provisionalMilliseconds: CLAIM_LIMIT_MILLISECONDS,
    engine: resumed.engine,
    mixed: resumed.mixed,
    waitingSince: now,
    times: { step: [], evaluation: [] },
    plans: new Map(),
    stopping: undefined,
    counts: noCounts,
    delivered: resumed.delivered,
    countedFrom: resumed.countedFrom,
    closed: [],
    suspects: resumed.suspects,
    isAuditSkipped: false,
    checkpoint: { step: resumed.step, at: now },
  };
}

export function withWorker(state: RunState, worker: WorkerState): RunState {
  return { ...state, workers: new Map(state.workers).set(worker.slot, worker) };
}
