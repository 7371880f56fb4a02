import type { Configuration } from '../shared/configuration.ts';
import type { ErrorCode } from '../shared/errors.ts';
import type { EngineIdentity } from '../shared/engine-identity.ts';
import type { CoordinatorMessage, WorkerMessage } from '../shared/messages.ts';
import type { Node } from '../shared/tree.ts';
import type { Assignment } from './plan.ts';

/**
 * What the coordinator knows. Only the reducers of this folder make a new state; the driver holds the current one.
 * Tensors never stand here: the shell keeps them by part, and the reducers say what to do with them.
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
  /** The engine of the worker whose fingerprint that is. */
  readonly engine: EngineIdentity | undefined;
  /** Whether a worker of another fingerprint was ever let in. */
  readonly mixed: boolean;
  /** Since when too few workers are ready, in milliseconds of the shell's clock. */
  readonly waitingSince: number | undefined;
  readonly times: ShardTimes;
  /** By the number of real shards: a short batch has its own. */
  readonly plans: ReadonlyMap<number, StandingPlan>;
  /** The last step a checkpoint was asked for, and when. */
  readonly checkpoint: { readonly step: number; readonly at: number };
  /** Set by Ctrl-C: the run ends after the open step. */
  readonly stopping: ErrorCode | undefined;
  readonly counts: Counts;
  /** Training samples each worker's accepted results covered, by name; it outlives their connections. */
  readonly delivered: ReadonlyMap<string, number>;
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
  /** The steps after which the test set is evaluated, where these are not each epoch's last and the last of all. */
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
  readonly fingerprint: string;
  readonly engine: EngineIdentity | undefined;
  readonly mixed: boolean;
  readonly delivered: ReadonlyMap<string, number>;
  readonly suspects: readonly Suspect[];
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
  /** Milliseconds per shard by the worker's own clock, a call counted as a shard too: the best of lately. */
  readonly milliseconds: number;
  readonly measured: number;
}

/** Who computes what in steps of so many real shards, kept from step to step so that workers can prepare. */
export interface StandingPlan {
  readonly slots: readonly number[];
  readonly assignment: Assignment;
  /** The step in which it is compared with a new one. */
  readonly review: number;
}

/** A step or an evaluation: parts that must each be accepted exactly once. */
export interface Task {
  readonly kind: 'step' | 'evaluation';
  readonly step: number;
  readonly parts: ReadonlyMap<number, Part>;
  /** Tree nodes whose sum the shell holds (steps only). */
  readonly sums: ReadonlySet<Node>;
  readonly openParts: number;
  readonly correct: number;
  /** Since when workers differ about a part and nobody is there to decide. */
  readonly undecidedSince: number | undefined;
}

export interface Part {
  /** Who was asked for it, in order; the last one holds the lease. */
  readonly leases: readonly Lease[];
  readonly accepted: Accepted | undefined;
  /** How often its result was not finite. */
  readonly nonFinite: number;
  /** So many workers must say the same before it is accepted: 2 where it is audited, or where two have differed. */
  readonly quorum: 1 | 2;
  /** What was said of a part with a quorum of 2 by workers that are there, each once; all finite. */
  readonly answers: readonly Answer[];
}

/** What a worker says of a part: its sum, by checksum and digest, and how many rows were right. */
export interface Answer {
  readonly slot: number;
  /** Of its connection: a slot has another worker later. */
  readonly session: string;
  readonly name: string;
  /** XXH64 finds accidents. */
  readonly checksum: bigint;
  /** SHA-256 cannot be made up: the only one that counts for a quorum of 2. Undefined where one answer was enough. */
  readonly digest: string | undefined;
  readonly correct: number;
}

/** The result that counts, and the samples that it brought its worker. */
export interface Accepted extends Answer {
  readonly samples: number;
}

/**
 * `open` until its deadline; then `late`, and the answer is still welcome. `answered` when the answer did not decide the part.
 * `gone` with its worker's connection. `refused` once the worker sent what is not finite: the same once more is no second opinion.
 */
export type LeaseState = 'open' | 'late' | 'answered' | 'gone' | 'refused';

export interface Lease {
  readonly slot: number;
  readonly granted: number;
  readonly deadline: number;
  readonly state: LeaseState;
}

/** Recent milliseconds per shard and per evaluation chunk, from grant to acceptance. */
export interface ShardTimes {
  readonly step: readonly number[];
  readonly evaluation: readonly number[];
}

export interface Counts {
  readonly duplicates: number;
  readonly fenced: number;
  readonly reassigned: number;
  /** Results that differ from what was accepted or from what most say. */
  readonly differing: number;
}

/** What the shell saw of a part's body: whether the checksum held and all values are finite. */
export interface Verdict {
  readonly part: number;
  readonly slot: number;
  readonly correct: number;
  /** What the worker says it took to compute. */
  readonly microseconds: number;
  readonly intact: boolean;
  readonly finite: boolean;
  /** XXH64 of the body, and its SHA-256 where that was asked for. */
  readonly checksum: bigint;
  readonly digest: string | undefined;
}

export type RunEvent = { readonly now: number } & (
  | { readonly kind: 'connected'; readonly slot: number; readonly session: string }
  | {
      readonly kind: 'message';
      readonly slot: number;
      readonly message: WorkerMessage;
      /** Of the message's tensor, as its sender computed it. */
      readonly checksum?: bigint | undefined;
    }
  | { readonly kind: 'disconnected'; readonly slot: number; readonly reason: string }
  | { readonly kind: 'received'; readonly verdict: Verdict }
  | { readonly kind: 'updated'; readonly finite: boolean }
  | { readonly kind: 'evaluated'; readonly finite: boolean }
  | { readonly kind: 'stop'; readonly code: ErrorCode }
  | { readonly kind: 'tick' }
);

export type WeightsMessage = Extract<CoordinatorMessage, { kind: 'step' | 'evaluate' }>;
export type HeaderMessage = Exclude<CoordinatorMessage, WeightsMessage>;

export interface Outcome {
  readonly state: 'finished' | 'interrupted' | 'failed' | 'diverged';
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly fix?: string;
}

export type Effect =
  | { readonly kind: 'send'; readonly slot: number; readonly message: HeaderMessage }
  /** One frame, encoded once, to all these slots. */
  | { readonly kind: 'broadcast'; readonly slots: readonly number[]; readonly message: WeightsMessage }
  /** Copy the body of the message at hand into the part's buffer and check it; answered by `received`. */
  | {
      readonly kind: 'receive';
      readonly task: Task['kind'];
      readonly part: number;
      readonly slot: number;
      readonly correct: number;
      readonly microseconds: number;
      /** Whether its SHA-256 is needed, too. */
      readonly isDigested: boolean;
    }
  /** Keep the received body as the part's accepted result. */
  | { readonly kind: 'accept'; readonly task: Task['kind']; readonly part: number }
  /** node = left + right, or left + 0 where the right subtree holds padding only. */
  | { readonly kind: 'combine'; readonly node: Node; readonly rightIsPadding: boolean }
  /** Forget the sum at this node: its parts are computed again. */
  | { readonly kind: 'forget'; readonly node: Node }
  /** Adam with the root's gradient; answered by `updated`. */
  | { readonly kind: 'update'; readonly step: number; readonly correct: number }
  /** Write down the update just made; after the next weights are on their way, since nobody waits for it. */
  | { readonly kind: 'record' }
  /** Keep a copy of weights and moments; off the path of the steps. */
  | { readonly kind: 'checkpoint' }
  /** Sum up all predictions; answered by `evaluated`. */
  | { readonly kind: 'evaluate'; readonly step: number; readonly final: boolean }
  | { readonly kind: 'close'; readonly slot: number; readonly code: ErrorCode; readonly message: string }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn';
      readonly event: RunLogEvent;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'end'; readonly outcome: Outcome };

/** Names of the lines in events.jsonl. */
export type RunLogEvent =
  | 'hello'
  | 'ready'
  | 'first_shard'
  | 'lost'
  | 'lease_again'
  | 'set_aside'
  | 'unaudited'
  | 'undecided'
  | 'differing'
  | 'step'
  | 'evaluation'
  | 'waiting'
  | 'stopping'
  | 'standing_by'
  | 'refused';

export interface Next {
  readonly state: RunState;
  readonly effects: readonly Effect[];
}

export function initialState(settings: Settings, now: number, resumed?: Resumed): RunState {
  return {
    settings,
    ...{ phase: 'gathering', started: false, step: resumed?.step ?? 0, evaluated: resumed?.evaluated ?? 0 },
    workers: new Map(),
    task: undefined,
    fingerprint: resumed?.fingerprint,
    engine: resumed?.engine,
    mixed: resumed?.mixed ?? false,
    waitingSince: now,
    times: { step: [], evaluation: [] },
    plans: new Map(),
    stopping: undefined,
    counts: { duplicates: 0, fenced: 0, reassigned: 0, differing: 0 },
    delivered: resumed?.delivered ?? new Map(),
    ...{ closed: [], suspects: resumed?.suspects ?? [], isAuditIdle: false },
    checkpoint: { step: resumed?.step ?? 0, at: now },
  };
}

/** Runs `decide` on the state that `next` left, and keeps the effects in order. */
export function andThen(next: Next, decide: (state: RunState) => Next): Next {
  const after = decide(next.state);
  return {
    state: after.state,
    effects: next.effects.length === 0 ? after.effects : [...next.effects, ...after.effects],
  };
}

export function withWorker(state: RunState, worker: WorkerState): RunState {
  return { ...state, workers: new Map(state.workers).set(worker.slot, worker) };
}

/** Identifies a task on the wire and in a worker's state. */
export function taskKey(task: Pick<Task, 'kind' | 'step'>): string {
  return `${task.kind} ${task.step}`;
}
