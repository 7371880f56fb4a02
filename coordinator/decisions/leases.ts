import { upperMedian } from '../../shared/median.ts';
import * as limits from '../../shared/limits.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';
import { asLone, isContested, judgeUndecided, noticeLone } from './votes.ts';
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
 * A lease is a part given to a worker until a deadline. These functions are the whole policy; they
 * only compute.
 */

/** Opens a task, leased as assigned, and sends the weights to everyone who has a part in it. */
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
    if (worker !== undefined) workers.set(slot, asked(worker, task, assigned));
  }
  return { state: { ...state, task, workers }, effects: [weightsTo(state, task, assignment)] };
}

/** The worker once it was sent this task's weights and asked for these parts of it. */
function asked(worker: WorkerState, task: Task, parts: readonly number[]): WorkerState {
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
      // Parts of one worker are computed one after the other.
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
 * clamp(4 x median time per shard x shards, 200 ms, 60 s), for a step at least twice that median;
 * 30 s until three results are known. Doubled for each deadline that the part has missed, so that a
 * slow machine gets there in the end.
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
  if (times[kind].length < 3) return limits.FIRST_LEASE_MILLISECONDS;
  const expected = upperMedian(times[kind]) * work;
  // The time of an evaluation's chunk counts from the beginning of all of them, which is far too
  // much for the last ones.
  const most = Math.max(limits.MAX_LEASE_MILLISECONDS, kind === 'step' ? 2 * expected : 0);
  return Math.min(Math.max(4 * expected, limits.MIN_LEASE_MILLISECONDS), most);
}

/** Shards of a node, or 1 for an evaluation chunk. */
export function workOf(kind: Task['kind'], part: number, virtualShards: number): number {
  return kind === 'step' ? shardCount(part, virtualShards) : 1;
}

/** The lease that the worker in this slot was given on a part, if any. */
export function leaseOf(task: Task, part: number, slot: number): Lease | undefined {
  return task.parts
    .get(part)
    ?.leases.findLast((lease) => lease.slot === slot && lease.state !== 'gone');
}

/**
 * The worker in this slot is gone: its leases, also on parts that are accepted, and what it said
 * and nobody confirmed.
 */
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

/** Whose deadline passes now. */
export function isMissed({ state, deadline }: Lease, now: number): boolean {
  return state === 'open' && deadline <= now;
}

/**
 * The leases whose deadlines pass now are late, on parts that are not accepted yet. The same task
 * where there is none.
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

/** Open parts that nobody is computing. */
export function unleased(task: Task): number[] {
  return [...task.parts]
    .filter(
      ([, part]) =>
        part.accepted === undefined && part.leases.every(({ state }) => state !== 'open'),
    )
    .map(([number]) => number);
}

/** The leases whose deadline has not passed, on parts that are not accepted yet. */
export function openLeases(task: Task | undefined): Lease[] {
  if (task === undefined) return [];
  const open = [...task.parts.values()].filter(({ accepted }) => accepted === undefined);
  return open.flatMap(({ leases }) => leases.filter(({ state }) => state === 'open'));
}

export function isBusy(task: Task | undefined, slot: number): boolean {
  return openLeases(task).some((lease) => lease.slot === slot);
}

/** The times with one more measurement. */
export function remember(
  times: ShardTimes,
  kind: Task['kind'],
  millisecondsPerShard: number,
): ShardTimes {
  return {
    ...times,
    [kind]: [...times[kind].slice(1 - limits.REMEMBERED_TIMES), millisecondsPerShard],
  };
}

/**
 * Leases again what nobody computes in time, to workers that are not late: whoever was not asked
 * before and has least to do comes first. Who still computes it is not asked for it once more;
 * nobody else there: the part waits for that answer.
 */
export function leaseAgain(state: RunState, now: number): Next {
  const { task } = state;
  if (state.phase !== 'running' || task === undefined) return { state, effects: [] };
  const missing = unleased(task);
  if (missing.length === 0) return judgeUndecided(state, task, [], now);
  const { open, assignment } = spread(state, task, missing);
  const given = new Set([...assignment.values()].flat());
  const reassigned = state.counts.reassigned + given.size;
  const counts = { ...state.counts, reassigned };
  const next = leaseMore({ ...state, task: open, counts }, open, assignment, now);
  const left = missing.filter((number) => !given.has(number));
  return andThen(
    andThen(next, (s) => noticeLone(s, task, open)),
    (s) => judgeUndecided(s, s.task ?? open, left, now),
  );
}

/** Leases these parts too, besides what was leased; sends the weights to whoever lacks them. */
export function leaseMore(state: RunState, task: Task, assignment: Assignment, now: number): Next {
  if (assignment.size === 0) return { state, effects: [] };
  const { virtualShards } = state.settings.configuration;
  const parts = new Map(task.parts);
  const workers = new Map(state.workers);
  const effects: Effect[] = [];
  for (const [slot, assigned] of assignment) {
    // It computes what it was asked for before first.
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
      workers.set(slot, asked(worker, task, assigned));
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
 * Who is asked for what is missing, whoever was not asked before first; of what nobody can confirm,
 * one answer is enough.
 */
function spread(
  state: RunState,
  task: Task,
  missing: readonly number[],
): { readonly open: Task; readonly assignment: Assignment } {
  const eligible = punctualSlots(state);
  const load = new Map(eligible.map((slot) => [slot, isBusy(task, slot) ? 1 : 0]));
  const assignment = new Map<number, number[]>();
  const parts = new Map(task.parts);
  // More than anybody's load.
  const much = task.parts.size + 1;
  for (const number of missing) {
    const part = task.parts.get(number);
    if (part === undefined) continue;
    const count = (slot: number, state: LeaseState) =>
      part.leases.filter((lease) => lease.slot === slot && lease.state === state).length;
    const hasSaid = (slot: number) =>
      part.answers.some((answer) => answer.slot === slot && answer.digest !== undefined);
    const rank = (slot: number): number =>
      (load.get(slot) ?? 0) +
      (count(slot, 'answered') > 0 ? much : 0) +
      (hasSaid(slot) ? much : 0) +
      (count(slot, 'refused') > 0 ? 3 * much : 0) +
      (state.workers.get(slot)?.asideUntil === undefined ? 0 : 8 * much);
    const isSpent = (slot: number) =>
      isContested(part) && count(slot, 'answered') >= limits.MAX_CONTESTED_ANSWERS;
    const able = eligible.filter((slot) => count(slot, 'late') === 0 && !isSpent(slot));
    const best = able.toSorted((a, b) => rank(a) - rank(b) || a - b)[0];
    if (best === undefined) continue;
    parts.set(number, asLone(part, best));
    assignment.set(best, [...(assignment.get(best) ?? []), number]);
    load.set(best, (load.get(best) ?? 0) + 1);
  }
  return { open: { ...task, parts }, assignment };
}

/**
 * The frame that carries the task's weights and says who computes what; the assignment may be
 * empty.
 */
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
  return { kind: 'broadcast', slots, message: { kind: 'evaluate', ...fence, assignment: ranges } };
}

function leasesTo(state: RunState, task: Task, slot: number, parts: readonly number[]): Effect[] {
  const fence = { run: state.settings.run, term: state.settings.term, step: task.step };
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
