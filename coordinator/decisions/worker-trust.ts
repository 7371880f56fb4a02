import * as limits from '../../shared/limits.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';
import { log, type Next } from './effects.ts';
import type { Verdict } from './events.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Task } from './task.ts';
import { CALL_COST_SHARDS } from './plan.ts';

/**
 * A worker's speed and reliability. They decide which worker gets how much work, and never change
 * the bytes of a result.
 */

/**
 * Each result raises the best known time by 2%. Other load on a machine can slow a worker threefold
 * from one step to the next, so the best time counts. A worker that has become permanently slower
 * is noticed after about fifty results.
 */
const PACE_DECAY = 1.02;
/** The resolution of a worker's clock. */
const MIN_MILLISECONDS = 0.001;

/**
 * Records a good result: updates the worker's speed and lowers its failures by one tenth. The speed
 * is measured by the worker's clock. By the coordinator's clock, the worker that is sent the
 * weights last would always seem the slowest.
 */
export function recordSuccess(
  worker: WorkerState,
  kind: Task['kind'],
  { part, microseconds }: Verdict,
  virtualShards: number,
  now: number,
): WorkerState {
  const rewarded = { ...worker, failures: worker.failures * 0.9 };
  if (kind !== 'step') return rewarded;
  const work = shardCount(part, virtualShards) + CALL_COST_SHARDS;
  const milliseconds = Math.max(microseconds / 1000 / work, MIN_MILLISECONDS);
  const before = worker.pace?.milliseconds ?? milliseconds;
  return {
    ...rewarded,
    pace: { milliseconds: Math.min(milliseconds, before * PACE_DECAY), measured: now },
  };
}

/**
 * Records a missed lease or a result that is not finite. After more than MAX_FAILURES the worker is
 * set aside for SET_ASIDE_MILLISECONDS.
 */
export function recordFailure(
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
  const message =
    `${worker.name} failed repeatedly: it gets no work for ${seconds} s unless no other worker ` +
    'can do it';
  lines.push(log('set_aside', message, { worker: worker.name, seconds }, 'warn'));
  const asideUntil = now + limits.SET_ASIDE_MILLISECONDS;
  return { state: withWorker(state, { ...worker, failures: 0, asideUntil }), effects: lines };
}
