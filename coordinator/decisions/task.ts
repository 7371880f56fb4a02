import type { Node } from '../../shared/arithmetic/tree.ts';
import type { TaskKind } from '../../shared/wire/task-order.ts';

/** A step or an evaluation. Each of its parts needs exactly one accepted result. */
export interface Task {
  /** An evaluation has the name of its set. */
  readonly kind: TaskKind;
  readonly step: number;
  readonly parts: ReadonlyMap<number, Part>;
  /** The tree nodes whose sums the shell has (steps only). */
  readonly sums: ReadonlySet<Node>;
  readonly openParts: number;
  readonly correct: number;
  /** Since when workers have disagreed about a part that no other worker can decide. */
  readonly undecidedSince: number | undefined;
}

export interface Part {
  /** All leases on the part, in order. */
  readonly leases: readonly Lease[];
  readonly accepted: Accepted | undefined;
  /** The number of missed deadlines; each doubles the next lease. */
  readonly missed: number;
  /** The number of results that were not finite. */
  readonly nonFinite: number;
  /** How many workers must agree: 2 for an audited part, or after two workers have disagreed. */
  readonly quorum: 1 | 2;
  /** With a quorum of 2, the connected workers' answers, one per worker. All are finite. */
  readonly answers: readonly Answer[];
}

/** A worker's answer for a part: the digests of its sum, and the number of correct rows. */
export interface Answer {
  readonly slot: number;
  /** Identifies the connection: another worker may get the same slot later. */
  readonly session: string;
  readonly name: string;
  /** XXH64, which detects accidental damage. */
  readonly checksum: bigint;
  /** SHA-256, which cannot be forged: a quorum of 2 needs it. Undefined with a quorum of 1. */
  readonly digest: string | undefined;
  readonly correct: number;
}

/** A part's accepted answer, and the samples credited to its worker. */
export interface Accepted extends Answer {
  readonly samples: number;
}

/**
 * - `open`: until its deadline
 * - `late`: after its deadline; an answer is still accepted
 * - `answered`: the answer did not decide the part
 * - `gone`: the worker has left
 * - `refused`: the result was not finite; other workers are asked first
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

/** Identifies a task on the wire and in a worker's state. */
export function taskKey(task: Pick<Task, 'kind' | 'step'>): string {
  return `${task.kind} ${task.step}`;
}

/** The parts assigned to each slot. A slot without parts stands by. */
export type Assignment = ReadonlyMap<number, readonly number[]>;
