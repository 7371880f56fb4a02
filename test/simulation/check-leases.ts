import type { RunState } from '../../coordinator/decisions/state.ts';
import { assert } from '../../shared/errors.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { firstShard, shardCount } from '../../shared/arithmetic/tree.ts';

/**
 * Checks that open leases belong to connected workers and that the parts of a step cover all its
 * shards exactly once.
 */
export function checkLeases({ task, workers, settings }: RunState): void {
  if (task === undefined) return;
  const { virtualShards, realShards } = planStep(settings.configuration, task.step);
  const covered = new Set<number>();
  for (const [node, part] of task.parts) {
    for (const { slot, state } of part.leases) {
      const isOwned = part.accepted !== undefined || state === 'gone' || workers.has(slot);
      assert(isOwned, `part ${node} is leased to slot ${slot}, which has a worker`);
    }
    const computing = part.leases.filter(({ state }) => state === 'open' || state === 'late');
    assert(
      new Set(computing.map(({ slot }) => slot)).size === computing.length,
      `part ${node} is not requested again from a worker that is computing it`,
    );
    if (task.kind !== 'step') continue;
    const first = firstShard(node, virtualShards);
    for (let shard = first; shard < first + shardCount(node, virtualShards); shard++) {
      assert(
        !covered.has(shard) && shard < realShards,
        `shard ${shard} of step ${task.step} is planned once`,
      );
      covered.add(shard);
    }
  }
  assert(
    task.kind !== 'step' || covered.size === realShards,
    `all ${realShards} shards are planned`,
  );
}
