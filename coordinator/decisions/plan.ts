import { PACE_MEMORY_MILLISECONDS, PLAN_REVIEW_STEPS } from '../../shared/limits.ts';
import type { StepPlan } from '../../shared/arithmetic/schedule.ts';
import { cover, shardCount, type Node } from '../../shared/arithmetic/tree.ts';
import type { RunState, ShardPlan } from './state.ts';
import { computingSlots } from './worker-counts.ts';
import type { Assignment } from './task.ts';

/** A worker's speed: milliseconds per shard; an engine call counts as CALL_COST_SHARDS shards. */
export interface WorkerSpeed {
  readonly slot: number;
  readonly milliseconds: number;
}

/** The cost of one engine call, in shards; measurements gave 1 to 3. */
export const CALL_COST_SHARDS = 1;
/**
 * Minimum relative gain of a new plan, or of a plan with more subtrees. Changing the plan has a
 * cost, since workers have prepared their next batch according to the current one.
 */
const MIN_GAIN = 0.1;
/** Maximum number of subtree counts to try; if there are more, they are tried at intervals. */
const MAX_CANDIDATES = 16;

/** The current plan, unless workers joined or left, or a new plan is clearly faster. */
export function planShards(state: RunState, step: StepPlan, now: number): ShardPlan {
  const slots = computingSlots(state);
  const current = state.plans.get(step.realShards);
  const isCurrent =
    current?.slots.length === slots.length && current.slots.every((slot, i) => slot === slots[i]);
  if (isCurrent && step.step < current.review) return current;
  const speeds = speedsOf(state, slots, now);
  const fresh = assignStep(speeds, step.virtualShards, step.realShards);
  const assignment =
    isCurrent && !isFaster(fresh, current.assignment, speeds, step.virtualShards)
      ? current.assignment
      : fresh;
  return { slots, assignment, review: step.step + PLAN_REVIEW_STEPS };
}

/**
 * Assigns a step's subtrees to the workers: one subtree per worker, or more or fewer if that makes
 * the step clearly faster. The assignment never changes the bytes of the result.
 */
export function assignStep(
  workers: readonly WorkerSpeed[],
  virtualShards: number,
  realShards: number,
): Assignment {
  const whole = cover(virtualShards, realShards);
  let best = distribute(split(whole, workers.length, virtualShards), workers, virtualShards);
  const most = Math.min(realShards, whole.length + 2 * workers.length);
  const stride = Math.ceil((most - whole.length + 1) / MAX_CANDIDATES);
  for (let count = whole.length; count <= most; count += stride) {
    const next = distribute(split(whole, count, virtualShards), workers, virtualShards);
    if (isFaster(next, best, workers, virtualShards)) best = next;
  }
  return best;
}

/** Assigns contiguous, nearly equal ranges of evaluation chunks. */
export function assignEvaluation(slots: readonly number[], chunks: number): Assignment {
  const assignment = new Map<number, number[]>();
  slots.forEach((slot, i) => {
    const first = Math.floor((i * chunks) / slots.length);
    const end = Math.floor(((i + 1) * chunks) / slots.length);
    if (end > first)
      assignment.set(
        slot,
        Array.from({ length: end - first }, (_, j) => first + j),
      );
  });
  return assignment;
}

/**
 * A worker that has not been measured recently counts as the fastest, so that it is measured again.
 */
function speedsOf({ workers }: RunState, slots: readonly number[], now: number): WorkerSpeed[] {
  const measured = slots.map((slot) => {
    const pace = workers.get(slot)?.pace;
    return pace !== undefined && now - pace.measured < PACE_MEMORY_MILLISECONDS
      ? pace.milliseconds
      : undefined;
  });
  const fastest = Math.min(...measured.filter((milliseconds) => milliseconds !== undefined));
  const unknown = Number.isFinite(fastest) ? fastest : 1;
  return slots.map((slot, i) => ({ slot, milliseconds: measured[i] ?? unknown }));
}

/**
 * Assigns the subtrees, from the largest to the smallest, each to the worker that would finish it
 * first.
 */
function distribute(
  nodes: readonly Node[],
  workers: readonly WorkerSpeed[],
  virtualShards: number,
): Assignment {
  const bySize = nodes.toSorted(
    (a, b) => shardCount(b, virtualShards) - shardCount(a, virtualShards) || a - b,
  );
  const assignment = new Map<number, Node[]>();
  const done = new Map<number, number>();
  for (const node of bySize) {
    const doneWith = ({ slot, milliseconds }: WorkerSpeed) =>
      (done.get(slot) ?? 0) + costOf(node, virtualShards) * milliseconds;
    const first = workers.reduce((best, worker) =>
      doneWith(worker) < doneWith(best) ? worker : best,
    );
    done.set(first.slot, doneWith(first));
    assignment.set(first.slot, [...(assignment.get(first.slot) ?? []), node]);
  }
  return assignment;
}

function isFaster(
  one: Assignment,
  than: Assignment,
  workers: readonly WorkerSpeed[],
  virtualShards: number,
): boolean {
  return (
    duration(one, workers, virtualShards) <= (1 - MIN_GAIN) * duration(than, workers, virtualShards)
  );
}

/** The time until the last worker is done, in milliseconds. */
function duration(
  assignment: Assignment,
  workers: readonly WorkerSpeed[],
  virtualShards: number,
): number {
  return Math.max(
    ...workers.map(({ slot, milliseconds }) => {
      const nodes = assignment.get(slot) ?? [];
      return nodes.reduce((sum, node) => sum + costOf(node, virtualShards), 0) * milliseconds;
    }),
  );
}

function costOf(node: Node, virtualShards: number): number {
  return shardCount(node, virtualShards) + CALL_COST_SHARDS;
}

/**
 * Halves the largest subtree (the leftmost on a tie) until there are `wanted` subtrees or only
 * single shards.
 */
function split(nodes: readonly Node[], wanted: number, virtualShards: number): Node[] {
  const parts = [...nodes];
  while (parts.length < wanted) {
    const sizes = parts.map((node) => shardCount(node, virtualShards));
    const largest = sizes.indexOf(Math.max(...sizes));
    const node = parts[largest];
    if (node === undefined || sizes[largest] === 1) break;
    parts.splice(largest, 1, 2 * node, 2 * node + 1);
  }
  return parts;
}
