import * as limits from '../../shared/limits.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';
import { log, type Next } from './effects.ts';
import type { Verdict } from './events.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Task } from './task.ts';
import { CALL_COST_SHARDS } from './plan.ts';

/**
 * What the coordinator thinks of a worker: how fast it is, and whether it can be relied on. Both
 * decide who gets work and how much, never what the bytes are.
 */

/**
 * The best of lately counts, for what else runs on a machine makes the same worker three times as
 * slow from step to step; a worker that has really become slow is known for it after some fifty
 * results.
 */
const PACE_DECAY = 1.02;
/** Below this a clock says nothing. */
const MIN_MILLISECONDS = 0.001;

/**
 * A result is good: the worker's speed is measured, and a tenth of what it is blamed for is
 * forgiven. The speed is by its own clock: seen from here, whoever is sent the weights last is
 * always the slowest.
 */
export function commend(
  worker: WorkerState,
  kind: Task['kind'],
  { part, microseconds }: Verdict,
  virtualShards: number,
  now: number,
): WorkerState {
  const commended = { ...worker, failures: worker.failures * 0.9 };
  if (kind === 'evaluation') return commended;
  const work = shardCount(part, virtualShards) + CALL_COST_SHARDS;
  const milliseconds = Math.max(microseconds / 1000 / work, MIN_MILLISECONDS);
  const before = worker.pace?.milliseconds ?? milliseconds;
  return {
    ...commended,
    pace: { milliseconds: Math.min(milliseconds, before * PACE_DECAY), measured: now },
  };
}

/**
 * It missed a lease or sent what is not finite. Who does so again and again is set aside, for a
 * while.
 */
export function blame(
  state: RunState,
  slot: number,
  what: string,
  now: number,
  fields: Readonly<Record<string, unknown>> = {},
): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const failures = worker.failures + 1;
  const lines = [
    log('lease_again', `${worker.name} ${what}`, { worker: worker.name, ...fields }, 'warn'),
  ];
  if (failures <= limits.MAX_FAILURES)
    return { state: withWorker(state, { ...worker, failures }), effects: lines };
  const seconds = limits.SET_ASIDE_MILLISECONDS / 1000;
  const message = `${worker.name} failed again and again: it gets no work for ${seconds} s if others can do it`;
  lines.push(log('set_aside', message, { worker: worker.name, seconds }, 'warn'));
  const asideUntil = now + limits.SET_ASIDE_MILLISECONDS;
  return { state: withWorker(state, { ...worker, failures: 0, asideUntil }), effects: lines };
}
