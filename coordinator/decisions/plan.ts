import { PACE_MEMORY_MILLISECONDS, PLAN_REVIEW_STEPS } from '../../shared/limits.ts';
import type { StepPlan } from '../../shared/arithmetic/schedule.ts';
import { cover, shardCount, type Node } from '../../shared/arithmetic/tree.ts';
import type { RunState, ShardPlan } from './state.ts';
import { computingSlots } from './worker-counts.ts';
import type { Assignment } from './task.ts';

/** A worker as the plan sees it: what a shard, or a call, takes it. */
export interface Pacer {
  readonly slot: number;
  readonly milliseconds: number;
}

/** What calling the engine costs besides its shards, in shards: measured between 1 and 3. */
export const CALL_COST_SHARDS = 1;
/**
 * More subtrees, or another plan, must be so much faster: workers build their next batch before
 * they are asked for it.
 */
const MIN_GAIN = 0.1;
/** In a large cluster not every number of subtrees is tried. */
const MAX_CANDIDATES = 16;

/**
 * The plan of the steps before, unless workers came or went or another one is clearly faster by
 * now.
 */
export function planShards(state: RunState, step: StepPlan, now: number): ShardPlan {
  const slots = computingSlots(state);
  const standing = state.plans.get(step.realShards);
  const isStanding =
    standing?.slots.length === slots.length && standing.slots.every((slot, i) => slot === slots[i]);
  if (isStanding && step.step < standing.review) return standing;
  const pacers = pacersOf(state, slots, now);
  const fresh = assignStep(pacers, step.virtualShards, step.realShards);
  const assignment =
    isStanding && !isFaster(fresh, standing.assignment, pacers, step.virtualShards)
      ? standing.assignment
      : fresh;
  return { slots, assignment, review: step.step + PLAN_REVIEW_STEPS };
}

/**
 * Spreads a step's subtrees over the workers: one for each, or more or fewer where the last one is
 * then done clearly sooner; the largest goes first, to whoever would be done with it first. Who
 * computes what never changes the bytes.
 */
export function assignStep(
  workers: readonly Pacer[],
  virtualShards: number,
  realShards: number,
): Assignment {
  const whole = cover(virtualShards, realShards);
  let best = place(split(whole, workers.length, virtualShards), workers, virtualShards);
  const most = Math.min(realShards, whole.length + 2 * workers.length);
  const stride = Math.ceil((most - whole.length + 1) / MAX_CANDIDATES);
  for (let count = whole.length; count <= most; count += stride) {
    const next = place(split(whole, count, virtualShards), workers, virtualShards);
    if (isFaster(next, best, workers, virtualShards)) best = next;
  }
  return best;
}

/** Contiguous, nearly equal ranges of evaluation chunks. */
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
 * Whoever was not measured lately is taken for as fast as the fastest, and so is measured again.
 */
function pacersOf({ workers }: RunState, slots: readonly number[], now: number): Pacer[] {
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

function place(
  nodes: readonly Node[],
  workers: readonly Pacer[],
  virtualShards: number,
): Assignment {
  const bySize = nodes.toSorted(
    (a, b) => shardCount(b, virtualShards) - shardCount(a, virtualShards) || a - b,
  );
  const assignment = new Map<number, Node[]>();
  const done = new Map<number, number>();
  for (const node of bySize) {
    const doneWith = ({ slot, milliseconds }: Pacer) =>
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
  workers: readonly Pacer[],
  virtualShards: number,
): boolean {
  return (
    duration(one, workers, virtualShards) <= (1 - MIN_GAIN) * duration(than, workers, virtualShards)
  );
}

/** When the last worker would be done, in milliseconds. */
function duration(
  assignment: Assignment,
  workers: readonly Pacer[],
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
 * Halves the largest subtree (the leftmost of equals) until there are so many, or only single
 * shards.
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
