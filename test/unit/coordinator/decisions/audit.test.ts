import { describe, expect, it } from 'vitest';
import { SET_ASIDE_MILLISECONDS } from '../../../../shared/limits.ts';
import { answer, answerAll, audit, clusterOf, FULL, long, named, parts } from './answers.ts';

describe('an audit', () => {
  it('asks a second worker for the subtree, and counts it only when both agree', () => {
    const cluster = clusterOf(2, { audit });
    expect(parts(cluster)).toEqual([
      [0, 2],
      [1, 3],
      [1, 2],
      [0, 3],
    ]);
    answer(cluster, 0, 2);
    answer(cluster, 1, 3);
    answer(cluster, 1, 2);
    expect(cluster.updates).toEqual([]);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
  });

  it('is known only to the auditor, which is drawn at random', () => {
    const auditors = new Set<number | undefined>();
    const cluster = clusterOf(4, { ...long, audit });
    for (let step = 0; step < 20; step++) {
      const planned = cluster.assignments.findLast((assignment) => assignment.length > 0);
      const assigned = (planned ?? []).flatMap(([, ...nodes]) => nodes);
      expect(assigned.toSorted()).toEqual([4, 5, 6, 7]);
      auditors.add(cluster.requests.findLast(({ part }) => part === 4)?.slot);
      for (const request of cluster.requests.slice()) cluster.answer(request);
    }
    expect(auditors.size).toBe(3);
  });

  it('covers roughly the fraction of subtrees given by its rate', () => {
    const share = (rate: number, key: readonly [number, number]) => {
      const cluster = clusterOf(2, { ...long, audit: { rate, key } });
      const audited = { 2: 0, 3: 0 };
      while (cluster.outcome === undefined) {
        for (const part of [2, 3] as const) {
          const asked = cluster.requests.filter(
            (each) => each.kind === 'step' && each.part === part,
          );
          audited[part] += Math.max(0, asked.length - 1);
        }
        for (const request of cluster.requests.slice()) cluster.answer(request);
      }
      return audited;
    };
    const some = share(0.25, [1, 2]);
    for (const part of [2, 3] as const) {
      expect(some[part]).toBeGreaterThan(45);
      expect(some[part]).toBeLessThan(105);
    }
    expect(some[2]).not.toBe(some[3]);
    expect(share(0.25, [3, 4])).not.toEqual(some);
  });

  it('has a third worker decide between two that differ, and disconnects the wrong one', () => {
    const cluster = clusterOf(3, { audit }, ({ slot }) => slot === 0);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
    expect(named(cluster)).toEqual([{ name: 'w0', from: 1, to: 1 }]);
    expect(cluster.logs.join('\n')).toMatch(
      /w0 \(slot 0\) sent a wrong result for part \d of step 1: two other .*verify RUN --from 0/,
    );
  });

  it('catches a worker that reports a different number of correct rows', () => {
    const cluster = clusterOf(3, { audit });
    while (cluster.outcome === undefined) {
      const [request] = cluster.requests;
      if (request !== undefined)
        cluster.answer(request, request.slot === 0 && request.step === 1 ? 1 : 0);
    }
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
  });

  it('compares digests, since a checksum can be forged', () => {
    const cluster = clusterOf(3, { audit });
    cluster.digestOf = ({ slot, step }, checksum) =>
      slot === 0 && step === 1 ? 'forged' : `${checksum}`;
    answer(cluster, 1, 4);
    answer(cluster, 2, 5);
    const mine = cluster.requests.find(({ slot }) => slot === 0);
    const other = cluster.requests.find(({ slot, part }) => slot !== 0 && part === mine?.part);
    if (mine === undefined || other === undefined)
      throw new Error('no part was sent to both slot 0 and an auditor');
    cluster.answer(other);
    cluster.answer(mine);
    expect(cluster.state.task?.parts.get(mine.part)?.accepted).toBeUndefined();
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.state.task).toBeUndefined();
  });

  it("marks a disconnected worker's steps since its last confirmed result as suspect", () => {
    const rare = { rate: 0.3, key: [5, 6] } as const;
    const cluster = clusterOf(
      3,
      { ...long, audit: rare },
      ({ slot, step }) => slot === 1 && step >= 20,
    );
    let confirmed = 0;
    while (cluster.closed.length === 0) {
      confirmed = cluster.state.workers.get(1)?.confirmed ?? confirmed;
      for (const request of cluster.requests.slice()) cluster.answer(request);
    }
    const { step } = cluster.state;
    expect(confirmed).toBeGreaterThan(1);
    expect(confirmed).toBeLessThan(20);
    expect(named(cluster)).toEqual([{ name: 'w1', from: confirmed, to: expect.any(Number) }]);
    expect(step).toBeGreaterThanOrEqual(19);
  });

  it('confirms a worker only through results that it did not give as an auditor', () => {
    const cluster = clusterOf(2, { audit: { rate: 1, key: [1, 2] } });
    answer(cluster, 0, 2);
    answer(cluster, 1, 2);
    expect(cluster.state.workers.get(0)?.confirmed).toBe(1);
    expect(cluster.state.workers.get(1)?.confirmed).toBeUndefined();
  });

  it('reports once that a single worker cannot be audited, and lets the run finish', () => {
    const cluster = clusterOf(1, { audit });
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(
      cluster.logs.filter((line) => /cannot audit: only one worker computes/.test(line)),
    ).toHaveLength(1);
  });

  it('accepts one answer if no other worker can confirm it, and logs a warning', () => {
    const cluster = clusterOf(2, { audit });
    answer(cluster, 0, 2);
    answer(cluster, 0, 3);
    cluster.leave(1);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.logs.filter((line) => /relies on w0 alone/.test(line))).toHaveLength(1);
    expect(cluster.state.workers.get(0)?.confirmed).toBeUndefined();
  });

  it('asks even a worker that was set aside if there is no other', () => {
    const cluster = clusterOf(3, { audit }, ({ slot }) => slot === 1);
    const worker = cluster.state.workers.get(2);
    if (worker === undefined) throw new Error('worker 2 is missing');
    const aside = { ...worker, asideUntil: SET_ASIDE_MILLISECONDS };
    cluster.state = { ...cluster.state, workers: new Map(cluster.state.workers).set(2, aside) };
    answerAll(cluster);
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
  });

  it("does not blame the model for a NaN if another worker's result is finite", () => {
    const cluster = clusterOf(2, { audit });
    cluster.nonFinite = ({ slot, step }) => slot === 0 && step === 1;
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
  });
});
