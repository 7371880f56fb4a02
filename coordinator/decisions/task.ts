import type { Node } from '../../shared/arithmetic/tree.ts';

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
  /** Who was asked for it, in order. */
  readonly leases: readonly Lease[];
  readonly accepted: Accepted | undefined;
  /** How many deadlines have passed while it was computed: the next one is the later for it. */
  readonly missed: number;
  /** How often its result was not finite. */
  readonly nonFinite: number;
  /**
   * So many workers must say the same before it is accepted: 2 where it is audited, or where two
   * have differed.
   */
  readonly quorum: 1 | 2;
  /**
   * What was said of a part with a quorum of 2 by workers that are there, each once; all finite.
   */
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
  /**
   * SHA-256 cannot be made up: the only one that counts for a quorum of 2. Undefined where one
   * answer was enough.
   */
  readonly digest: string | undefined;
  readonly correct: number;
}

/** The result that counts, and the samples that it brought its worker. */
export interface Accepted extends Answer {
  readonly samples: number;
}

/**
 * `open` until its deadline; then `late`, and the answer is still welcome. `answered` when the
 * answer did not decide the part. `gone` with its worker's connection. `refused` once the worker
 * sent what is not finite: the same once more is no second opinion.
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

/** Parts for each slot; a slot without parts stands by. */
export type Assignment = ReadonlyMap<number, readonly number[]>;
