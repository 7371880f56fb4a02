import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStep, stepsPerEpoch, totalSteps } from '../../../../shared/arithmetic/schedule.ts';
import { cover, firstShard, isNode, shardCount } from '../../../../shared/arithmetic/tree.ts';

const powerOfTwo = fc.integer({ min: 0, max: 8 }).map((level) => 2 ** level);

function shardsOf(node: number, virtualShards: number): number[] {
  const first = firstShard(node, virtualShards);
  return Array.from({ length: shardCount(node, virtualShards) }, (_, i) => first + i);
}

describe('the tree', () => {
  it('numbers nodes like a heap', () => {
    expect(shardsOf(1, 8)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(shardsOf(5, 8)).toEqual([2, 3]);
    expect(shardsOf(15, 8)).toEqual([7]);
    expect(shardsOf(1, 1)).toEqual([0]);
    expect([0, 1, 15, 16, 1.5].map((node) => isNode(node, 8))).toEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
  });

  it('covers exactly the real shards with the fewest subtrees', () => {
    expect(cover(8, 8)).toEqual([1]);
    expect(cover(8, 7)).toEqual([2, 6, 14]);
    expect(cover(8, 3)).toEqual([4, 10]);
    expect(cover(1, 1)).toEqual([1]);
  });
});

describe('the schedule', () => {
  const input = { trainSamples: 60_000, batchSize: 256, virtualShards: 8, epochs: 2 };

  it('includes a short last batch', () => {
    expect(stepsPerEpoch(input)).toBe(235);
    expect(totalSteps(input)).toBe(470);
    expect(totalSteps({ ...input, steps: 7 })).toBe(7);
    expect(planStep(input, 235)).toEqual({
      step: 235,
      epoch: 1,
      start: 59_904,
      samples: 96,
      rowsPerShard: 32,
      virtualShards: 8,
      realShards: 3,
      endsEpoch: true,
    });
    expect(planStep(input, 236)).toMatchObject({
      epoch: 2,
      start: 0,
      samples: 256,
      realShards: 8,
      endsEpoch: false,
    });
  });

  it('uses every sample of every epoch exactly once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 64 }),
        powerOfTwo,
        (trainSamples, batchSize, virtualShards) => {
          const some = { trainSamples, batchSize, virtualShards, epochs: 2 };
          let next = 0;
          for (let step = 1; step <= stepsPerEpoch(some); step++) {
            const plan = planStep(some, step);
            expect(plan.start).toBe(next);
            expect(plan.samples).toBeLessThanOrEqual(plan.realShards * plan.rowsPerShard);
            expect(plan.samples).toBeGreaterThan((plan.realShards - 1) * plan.rowsPerShard);
            next += plan.samples;
          }
          expect(next).toBe(trainSamples);
        },
      ),
    );
  });
});
