import { describe, expect, test } from 'vitest';
import type { KernelName } from '../../../../cli/bench/kernel-timing.ts';
import { phasesOf } from '../../../../cli/bench/step-phases.ts';
import { shardCounts, spreadShards } from '../../../../cli/bench/workload.ts';

const microseconds: Record<KernelName, number> = {
  mask: 9000,
  augment: 9000,
  add: 10,
  adam: 80,
  check: 20,
  checksum: 17,
};
const input = {
  stepMilliseconds: 2,
  gradientMilliseconds: (shards: number) => shards / 10,
  kernelMicroseconds: (kernel: KernelName) => microseconds[kernel],
  wireMilliseconds: 0.6,
};

describe('phasesOf', () => {
  test('counts the slowest worker, one check per part, and one addition fewer than parts', () => {
    const phases = phasesOf({ ...input, shards: [[2], [1, 2], [1]] });
    const of = Object.fromEntries(phases.map(({ phase, milliseconds }) => [phase, milliseconds]));
    expect(of['gradient']).toBeCloseTo(0.3);
    expect(of['worker checks']).toBeCloseTo(0.017 + 2 * 0.02);
    expect(of['wire']).toBe(0.6);
    expect(of['coordinator']).toBeCloseTo(4 * 0.02 + 3 * 0.01 + 0.08);
    expect(phases.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
    expect(phases.reduce((sum, { milliseconds }) => sum + milliseconds, 0)).toBeCloseTo(2);
  });

  test('has a negative rest when phases overlap', () => {
    const rest = phasesOf({ ...input, stepMilliseconds: 0.5, shards: [[4]] }).at(-1);
    expect(rest?.phase).toBe('rest');
    expect(rest?.share).toBeLessThan(0);
  });
});

describe('the workload', () => {
  test('spreads a step as the coordinator does, and leaves surplus workers idle', () => {
    expect(spreadShards(32, 1)).toEqual([[4]]);
    expect(spreadShards(256, 2)).toEqual([[4], [4]]);
    expect(spreadShards(32, 8)).toEqual([[1], [1], [1], [1]]);
    expect(spreadShards(32, 3).flat().toSorted()).toEqual([1, 1, 2]);
  });

  test('measures subtrees of every size that a step can have', () => {
    expect(shardCounts(32)).toEqual([1, 2, 4]);
    expect(shardCounts(7)).toEqual([1]);
  });
});
