import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assignEvaluation,
  assignStep,
  CALL_COST_SHARDS,
} from '../../../../coordinator/decisions/plan.ts';
import { firstShard, shardCount } from '../../../../shared/arithmetic/tree.ts';
import type { Assignment } from '../../../../coordinator/decisions/task.ts';

const powerOfTwo = fc.integer({ min: 0, max: 8 }).map((exponent) => 2 ** exponent);

function workers(...milliseconds: readonly number[]) {
  return milliseconds.map((each, slot) => ({ slot, milliseconds: each }));
}

function shardsOf(node: number, virtualShards: number): number[] {
  const first = firstShard(node, virtualShards);
  return Array.from({ length: shardCount(node, virtualShards) }, (_, i) => first + i);
}

function sizes(assignment: Assignment, virtualShards: number): Record<number, number[]> {
  const of = (nodes: readonly number[]) => nodes.map((node) => shardCount(node, virtualShards));
  return Object.fromEntries([...assignment].map(([slot, nodes]) => [slot, of(nodes)]));
}

describe('a plan', () => {
  it('assigns every real shard once, and occupies as many equally fast workers as it can', () => {
    fc.assert(
      fc.property(
        powerOfTwo,
        fc.nat(),
        fc.uniqueArray(fc.nat({ max: 300 }), { minLength: 1, maxLength: 40 }),
        (shards, real, slots) => {
          const realShards = (real % shards) + 1;
          const speeds = slots.map((slot) => ({ slot, milliseconds: 1 }));
          const assignment = assignStep(speeds, shards, realShards);
          const given = [...assignment.values()].flat().flatMap((node) => shardsOf(node, shards));
          expect(given.toSorted((a, b) => a - b)).toEqual(
            Array.from({ length: realShards }, (_, i) => i),
          );
          expect(assignment.size).toBe(Math.min(slots.length, realShards));
        },
      ),
    );
  });

  it('makes only as many subtrees as there are workers if all are equally fast', () => {
    expect(sizes(assignStep(workers(1, 1), 8, 8), 8)).toEqual({ 0: [4], 1: [4] });
    expect(sizes(assignStep(workers(1, 1, 1), 8, 8), 8)).toEqual({ 0: [4], 1: [2], 2: [2] });
  });

  it('gives a slower worker less, and nothing to one that would hold up all the others', () => {
    expect(sizes(assignStep(workers(1, 1.2), 8, 8), 8)).toEqual({ 0: [4], 1: [4] });
    expect(sizes(assignStep(workers(2, 1), 8, 8), 8)).toEqual({ 0: [2], 1: [4, 2] });
    expect(sizes(assignStep(workers(1, 20), 8, 8), 8)).toEqual({ 0: [8] });
  });

  it('is never clearly slower than the fastest worker alone', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 8 }),
        (milliseconds) => {
          const speeds = workers(...milliseconds);
          const done = Math.max(
            ...Object.entries(sizes(assignStep(speeds, 8, 8), 8)).map(
              ([slot, parts]) =>
                parts.reduce((sum, size) => sum + size + CALL_COST_SHARDS, 0) *
                (milliseconds[Number(slot)] ?? 0),
            ),
          );
          // The time that the fastest worker alone would need, in one call.
          expect(done).toBeLessThanOrEqual(
            (8 + CALL_COST_SHARDS) * Math.min(...milliseconds) * 1.12,
          );
        },
      ),
    );
  });

  it('spreads evaluation chunks evenly', () => {
    expect([...assignEvaluation([3, 5, 7], 20).values()].map((chunks) => chunks.length)).toEqual([
      6, 7, 7,
    ]);
    expect([...assignEvaluation([0, 1], 1).values()].flat()).toEqual([0]);
  });
});
