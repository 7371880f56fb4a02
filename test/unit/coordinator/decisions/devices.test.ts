import { describe, expect, it } from 'vitest';
import { MIN_DEVICES_INTERVAL_MILLISECONDS } from '../../../../shared/limits.ts';
import { ARITHMETIC } from '../../../../shared/arithmetic/version.ts';
import { PROTOCOL } from '../../../../shared/wire/messages.ts';
import { engineFixture } from '../../../fixtures/engine-identity.ts';
import { Cluster } from '../../../fixtures/reducer-cluster.ts';

describe("a worker's report about its GPUs", () => {
  const gpus = [{ index: 0, utilization: 0.5 }];
  const devices = { kind: 'devices', gpus } as const;

  it('is passed on at most once a second, once the worker has said hello', () => {
    const cluster = new Cluster();
    cluster.connect(0);
    cluster.say(0, {
      kind: 'hello',
      protocol: PROTOCOL,
      arithmetic: ARITHMETIC,
      version: '0',
      name: 'w0',
    });
    cluster.say(0, devices);
    expect(cluster.devices).toEqual([{ kind: 'devices', worker: 'w0', gpus }]);
    cluster.say(0, { kind: 'ready', fingerprint: 'f', engine: engineFixture });
    cluster.join(1);
    cluster.tick(MIN_DEVICES_INTERVAL_MILLISECONDS - 1);
    for (let i = 0; i < 5; i++) cluster.say(0, devices);
    cluster.say(1, devices);
    expect(cluster.devices.map(({ worker }) => worker)).toEqual(['w0', 'w1']);
    cluster.tick(1);
    for (let i = 0; i < 5; i++) cluster.say(0, { kind: 'devices', gpus: [] });
    expect(cluster.devices.slice(2)).toEqual([{ kind: 'devices', worker: 'w0', gpus: [] }]);
  });

  it('counts as a sign that the worker is alive, even if it is dropped', () => {
    const cluster = new Cluster({ startWorkers: 9 });
    cluster.join(0);
    cluster.join(1);
    for (let i = 0; i < 50; i++) {
      cluster.tick(MIN_DEVICES_INTERVAL_MILLISECONDS / 2);
      cluster.say(0, devices);
    }
    expect(cluster.closed).toEqual([{ slot: 1, code: 'TIMEOUT' }]);
    expect(cluster.devices).toHaveLength(25);
  });

  it('does not change the run', () => {
    const undisturbed = new Cluster({ startWorkers: 2 });
    undisturbed.join(0);
    undisturbed.join(1);
    undisturbed.finish();
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    for (let next = cluster.requests[0]; next !== undefined; next = cluster.requests[0]) {
      cluster.say(next.slot, devices);
      cluster.answer(next);
      cluster.say(next.slot, devices);
    }
    expect(cluster.updates).toEqual(undisturbed.updates);
    expect(cluster.outcome?.state).toBe('finished');
  });
});
