import { describe, expect, it } from 'vitest';
import {
  FIRST_LEASE_MILLISECONDS,
  MAX_FAILURES,
  SET_ASIDE_MILLISECONDS,
} from '../../../../shared/limits.ts';
import { beat, fail, FULL, long, workerIn } from './answers.ts';
import { Cluster } from '../../../fixtures/reducer-cluster.ts';

/** Answers all requests of the open step. */
function answerStep(cluster: Cluster): void {
  const { step } = cluster.state;
  for (let next = cluster.requests[0]; cluster.state.step === step; next = cluster.requests[0])
    cluster.answer(next ?? fail());
}

describe('a coordinator whose workers miss their leases', () => {
  it('gives work again to a late worker once it has answered, even after its step', () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    const late = cluster.requests.find(({ slot }) => slot === 1);
    if (late === undefined) throw new Error('slot 1 was not asked');
    cluster.answer(cluster.requests[0] ?? late);
    for (const milliseconds of [15_000, 16_000]) {
      cluster.tick(milliseconds);
      cluster.say(0, { kind: 'heartbeat' });
    }
    expect(cluster.state.workers.get(1)?.late).toBe(true);
    const instead = cluster.requests.find(({ slot, step }) => slot === 0 && step === 1);
    if (instead === undefined) throw new Error('slot 0 was not asked instead of slot 1');
    cluster.answer(instead);
    expect(cluster.state.task?.step).toBe(2);
    const isSaid = () => cluster.logs.some((line) => line.endsWith('has answered'));
    expect(isSaid()).toBe(false);
    cluster.answer(late);
    expect(cluster.state.workers.get(1)?.late).toBe(false);
    expect(isSaid()).toBe(true);
  });

  it('eventually gives a slow part the time that it needs', () => {
    const cluster = new Cluster();
    cluster.join(0);
    // The worker is silent while it computes, and rejoins when its connection is closed.
    let spent = 0;
    for (let connections = 1; cluster.state.step === 0; connections++) {
      expect(connections).toBeLessThan(10);
      for (spent = 0; cluster.closed.length < connections && spent < 500_000; spent += 1_000)
        cluster.tick(1_000);
      const [request] = cluster.requests;
      if (spent >= 500_000 && request !== undefined) cluster.answer(request);
      else cluster.join(0);
    }
    expect(cluster.updates).toEqual([FULL]);
  });

  it('prefers other workers for a while to one that fails repeatedly', () => {
    const cluster = new Cluster({ ...long, startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    const failing = { ...workerIn(cluster, 1), failures: MAX_FAILURES };
    cluster.state = { ...cluster.state, workers: new Map(cluster.state.workers).set(1, failing) };
    cluster.tick(FIRST_LEASE_MILLISECONDS + 1);
    expect(cluster.logs.filter((line) => line.includes('failed repeatedly'))).toHaveLength(1);
    expect(workerIn(cluster, 1).asideUntil).toBe(cluster.now + SET_ASIDE_MILLISECONDS);
    // Both workers have answered, so that neither is late.
    for (const request of cluster.requests.slice()) cluster.answer(request);
    const isAsked = (slot: number) => cluster.assignments.at(-1)?.some(([to]) => to === slot);
    expect(cluster.state.step).toBe(1);
    expect([isAsked(0), isAsked(1)]).toEqual([true, false]);
    beat(cluster, SET_ASIDE_MILLISECONDS);
    expect(cluster.state.workers.get(1)?.asideUntil).toBeUndefined();
    answerStep(cluster);
    expect([isAsked(0), isAsked(1)]).toEqual([true, true]);
  });
});
