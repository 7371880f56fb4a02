import { upperMedian } from '../../shared/median.ts';
import * as limits from '../../shared/limits.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';
import { acceptUnconfirmed, isDisputed, waitForDecision, warnUnconfirmed } from './votes.ts';
import { punctualSlots } from './worker-counts.ts';
import { andThen, type Effect, type Next } from './effects.ts';
import type { RunState, WorkerState } from './state.ts';
import {
  type Lease,
  type LeaseState,
  type Part,
  type Task,
  taskKey,
  type ShardTimes,
  type Assignment,
} from './task.ts';

/**
 * A lease gives a part to a worker until a deadline. This file contains the whole policy: how long
 * a lease lasts, when its deadline is missed, and which worker gets a part next.
 */

/** Opens a task, leases its parts as assigned, and sends the weights to all assigned workers. */
export function beginTask(
  state: RunState,
  kind: Task['kind'],
  step: number,
  assignment: Assignment,
  now: number,
): Next {
  const task = openTask(kind, step, assignment, state, now);
  const workers = new Map(state.workers);
  for (const [slot, assigned] of assignment) {
    const worker = workers.get(slot);
    if (worker !== undefined) workers.set(slot, withRequest(worker, task, assigned));
  }
  return { state: { ...state, task, workers }, effects: [weightsTo(state, task, assignment)] };
}

/** The worker after being sent this task's weights and asked for these parts. */
function withRequest(worker: WorkerState, task: Task, parts: readonly number[]): WorkerState {
  return { ...worker, weightsOf: taskKey(task), unanswered: worker.unanswered + parts.length };
}

function openTask(
  kind: Task['kind'],
  step: number,
  assignment: Assignment,
  state: RunState,
  now: number,
): Task {
  const parts = new Map<number, Part>();
  for (const [slot, assigned] of assignment) {
    let work = 0;
    for (const part of assigned) {
      // A worker computes its parts one after the other.
      work += workOf(kind, part, state.settings.configuration.virtualShards);
      const leases = [grant(slot, leaseMilliseconds(state.times, kind, work, 0), now)];
      parts.set(part, {
        leases,
        accepted: undefined,
        missed: 0,
        nonFinite: 0,
        quorum: 1,
        answers: [],
      });
    }
  }
  const nothing = { sums: new Set<number>(), correct: 0, undecidedSince: undefined };
  return { kind, step, parts, openParts: parts.size, ...nothing };
}

export function grant(slot: number, milliseconds: number, now: number): Lease {
  return { slot, granted: now, deadline: now + milliseconds, state: 'open' };
}

/**
 * How long a lease lasts: 4 x the expected time (median time per shard x shards), but at least 200
 * ms and at most 60 s, or 2 x the expected time of a step if that is longer than 60 s. It is 30 s
 * until three results are known. Each missed deadline of the part doubles it, up to an hour, so
 * that a slow machine eventually finishes.
 */
export function leaseMilliseconds(
  times: ShardTimes,
  kind: Task['kind'],
  work: number,
  missed: number,
): number {
  return Math.min(
    usualMilliseconds(times, kind, work) * 2 ** missed,
    limits.MAX_REPEATED_LEASE_MILLISECONDS,
  );
}

function usualMilliseconds(times: ShardTimes, kind: Task['kind'], work: number): number {
  const known = times[timesKeyOf(kind)];
  if (known.length < 3) return limits.FIRST_LEASE_MILLISECONDS;
  const expected = upperMedian(known) * work;
  // An evaluation chunk's time is counted from the start of the whole evaluation, so the last
  // chunks seem far slower than they are.
  const most = Math.max(limits.MAX_LEASE_MILLISECONDS, kind === 'step' ? 2 * expected : 0);
  return Math.min(Math.max(4 * expected, limits.MIN_LEASE_MILLISECONDS), most);
}

function timesKeyOf(kind: Task['kind']): keyof ShardTimes {
  return kind === 'step' ? kind : 'evaluation';
}

/** The number of shards under a node; 1 for an evaluation chunk. */
export function workOf(kind: Task['kind'], part: number, virtualShards: number): number {
  return kind === 'step' ? shardCount(part, virtualShards) : 1;
}

/** The latest lease on the part that belongs to the worker in this slot, if any. */
export function leaseOf(task: Task, part: number, slot: number): Lease | undefined {
  return task.parts
    .get(part)
    ?.leases.findLast((lease) => lease.slot === slot && lease.state !== 'gone');
}

/** The task without the leases and unconfirmed answers of a worker that has left. */
export function withoutWorker(task: Task, slot: number): Task {
  const parts = new Map(task.parts);
  for (const [number, part] of task.parts) {
    if (part.leases.every((lease) => lease.slot !== slot || lease.state === 'gone')) continue;
    const leases = part.leases.map((lease): Lease =>
      lease.slot === slot ? { ...lease, state: 'gone' } : lease,
    );
    parts.set(number, {
      ...part,
      leases,
      answers: part.answers.filter((answer) => answer.slot !== slot),
    });
  }
  return { ...task, parts };
}

/** Whether the deadline of an open lease has passed. */
export function isMissed({ state, deadline }: Lease, now: number): boolean {
  return state === 'open' && deadline <= now;
}

/**
 * Marks leases past their deadline as late, on parts without an accepted result. Returns the same
 * object if no lease has passed its deadline.
 */
export function missLeases(task: Task, now: number): Task {
  let changed = false;
  const parts = new Map(task.parts);
  for (const [number, part] of task.parts) {
    if (part.accepted !== undefined || !part.leases.some((lease) => isMissed(lease, now))) continue;
    changed = true;
    const leases = part.leases.map((lease): Lease =>
      isMissed(lease, now) ? { ...lease, state: 'late' } : lease,
    );
    parts.set(number, { ...part, leases, missed: part.missed + 1 });
  }
  return changed ? { ...task, parts } : task;
}

/** Parts without an accepted result and without an open lease. */
export function unleased(task: Task): number[] {
  return [...task.parts]
    .filter(
      ([, part]) =>
        part.accepted === undefined && part.leases.every(({ state }) => state !== 'open'),
    )
    .map(([number]) => number);
}

/** The open leases, on parts without an accepted result. */
export function openLeases(task: Task | undefined): Lease[] {
  if (task === undefined) return [];
  const open = [...task.parts.values()].filter(({ accepted }) => accepted === undefined);
  return open.flatMap(({ leases }) => leases.filter(({ state }) => state === 'open'));
}

export function isBusy(task: Task | undefined, slot: number): boolean {
  return openLeases(task).some((lease) => lease.slot === slot);
}

/** Adds a measurement to the times. */
export function remember(
  times: ShardTimes,
  kind: Task['kind'],
  millisecondsPerShard: number,
): ShardTimes {
  const key = timesKeyOf(kind);
  return {
    ...times,
    [key]: [...times[key].slice(1 - limits.REMEMBERED_TIMES), millisecondsPerShard],
  };
}

/**
 * Reassigns parts without an open lease to workers that are not late. Workers that have not
 * computed the part before come first; among those, the worker with the least work. A late worker
 * that is still computing the part is not asked twice: if no other worker is left, the part waits
 * for it.
 */
export function leaseAgain(state: RunState, now: number): Next {
  const { task } = state;
  if (state.phase !== 'running' || task === undefined) return { state, effects: [] };
  const missing = unleased(task);
  if (missing.length === 0) return waitForDecision(state, task, [], now);
  const { open, assignment } = chooseWorkers(state, task, missing);
  const given = new Set([...assignment.values()].flat());
  const reassigned = state.counts.reassigned + given.size;
  const counts = { ...state.counts, reassigned };
  const next = leaseMore({ ...state, task: open, counts }, open, assignment, now);
  const left = missing.filter((number) => !given.has(number));
  return andThen(
    andThen(next, (s) => warnUnconfirmed(s, task, open)),
    (s) => waitForDecision(s, s.task ?? open, left, now),
  );
}

/** Adds these leases to the task, and sends the weights to workers that do not have them. */
export function leaseMore(state: RunState, task: Task, assignment: Assignment, now: number): Next {
  if (assignment.size === 0) return { state, effects: [] };
  const { virtualShards } = state.settings.configuration;
  const parts = new Map(task.parts);
  const workers = new Map(state.workers);
  const effects: Effect[] = [];
  for (const [slot, assigned] of assignment) {
    // The worker computes its earlier parts first.
    let work = workInHand(task, slot, virtualShards);
    for (const number of assigned) {
      const part = task.parts.get(number);
      work += workOf(task.kind, number, virtualShards);
      if (part === undefined) continue;
      const milliseconds = leaseMilliseconds(state.times, task.kind, work, part.missed);
      parts.set(number, { ...part, leases: [...part.leases, grant(slot, milliseconds, now)] });
    }
    const worker = workers.get(slot);
    if (worker !== undefined) {
      if (worker.weightsOf !== taskKey(task))
        effects.push(weightsTo(state, task, new Map([[slot, []]])));
      workers.set(slot, withRequest(worker, task, assigned));
    }
    effects.push(...leasesTo(state, task, slot, assigned));
  }
  return { state: { ...state, task: { ...task, parts }, workers }, effects };
}

function workInHand(task: Task, slot: number, virtualShards: number): number {
  let work = 0;
  for (const [number, { accepted, leases }] of task.parts) {
    const isComputing = leases.some((lease) => lease.slot === slot && lease.state === 'open');
    if (accepted === undefined && isComputing) work += workOf(task.kind, number, virtualShards);
  }
  return work;
}

/**
 * Chooses a worker for each missing part. If the only worker left to confirm a part is the one that
 * answered it, one answer is enough.
 */
function chooseWorkers(
  state: RunState,
  task: Task,
  missing: readonly number[],
): { readonly open: Task; readonly assignment: Assignment } {
  const eligible = punctualSlots(state);
  const load = new Map(eligible.map((slot) => [slot, isBusy(task, slot) ? 1 : 0]));
  const assignment = new Map<number, number[]>();
  const parts = new Map(task.parts);
  // More than any worker's load.
  const heavy = task.parts.size + 1;
  for (const number of missing) {
    const part = task.parts.get(number);
    if (part === undefined) continue;
    const count = (slot: number, state: LeaseState) =>
      part.leases.filter((lease) => lease.slot === slot && lease.state === state).length;
    const hasAnswered = (slot: number) =>
      part.answers.some((answer) => answer.slot === slot && answer.digest !== undefined);
    const rank = (slot: number): number =>
      (load.get(slot) ?? 0) +
      (count(slot, 'answered') > 0 ? heavy : 0) +
      (hasAnswered(slot) ? heavy : 0) +
      (count(slot, 'refused') > 0 ? 3 * heavy : 0) +
      (state.workers.get(slot)?.asideUntil === undefined ? 0 : 8 * heavy);
    const isSpent = (slot: number) =>
      isDisputed(part) && count(slot, 'answered') >= limits.MAX_CONTESTED_ANSWERS;
    const able = eligible.filter((slot) => count(slot, 'late') === 0 && !isSpent(slot));
    const best = able.toSorted((a, b) => rank(a) - rank(b) || a - b)[0];
    if (best === undefined) continue;
    parts.set(number, acceptUnconfirmed(part, best));
    assignment.set(best, [...(assignment.get(best) ?? []), number]);
    load.set(best, (load.get(best) ?? 0) + 1);
  }
  return { open: { ...task, parts }, assignment };
}

/** The frame with the task's weights and the assignment, which may be empty. */
function weightsTo(state: RunState, task: Task, assignment: Assignment): Effect {
  const fence = { run: state.settings.run, term: state.settings.term, step: task.step };
  const slots = [...assignment.keys()];
  const given = [...assignment].filter(([, parts]) => parts.length > 0);
  if (task.kind === 'step') {
    return {
      kind: 'broadcast',
      slots,
      message: {
        kind: 'step',
        ...fence,
        assignment: given.map(([slot, parts]) => [slot, ...parts]),
      },
    };
  }
  const ranges = given.map(([slot, parts]): [number, number, number] => [
    slot,
    parts[0] ?? 0,
    parts.length,
  ]);
  const set = task.kind;
  return {
    kind: 'broadcast',
    slots,
    message: { kind: 'evaluate', ...fence, set, assignment: ranges },
  };
}

function leasesTo(state: RunState, task: Task, slot: number, parts: readonly number[]): Effect[] {
  const { run, term } = state.settings;
  const fence = { run, term, step: task.step, task: task.kind };
  const effects: Effect[] = [];
  for (let i = 0; i < parts.length; i += limits.MAX_LEASED_PARTS) {
    effects.push({
      kind: 'send',
      slot,
      message: { kind: 'lease', ...fence, parts: parts.slice(i, i + limits.MAX_LEASED_PARTS) },
    });
  }
  return effects;
}
