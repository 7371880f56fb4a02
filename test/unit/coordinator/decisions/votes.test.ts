import { describe, expect, it } from 'vitest';
import { REMEMBERED_STEPS } from '../../../../shared/limits.ts';
import {
  answer,
  answerAll,
  audit,
  beat,
  clusterOf,
  FULL,
  lie,
  long,
  named,
  requestOf,
  say,
} from './answers.ts';
import { type Request, type Cluster } from '../../../fixtures/reducer-cluster.ts';

describe('two workers that differ, without a third', () => {
  const settings = { audit, rendezvousMilliseconds: 60_000 };

  it('wait for a third until --rdzv-timeout, after which the run fails', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    expect(cluster.logs.at(-1)).toMatch(
      /workers disagree about part \d of step 1; waiting for another worker/,
    );
    beat(cluster, 59_000);
    expect(cluster.outcome).toBeUndefined();
    beat(cluster, 2_000);
    expect(cluster.outcome).toMatchObject({ state: 'failed', code: 'DISAGREEMENT' });
    expect(cluster.updates).toEqual([]);
  });

  it("differ even if one has forged the other's checksum", () => {
    const cluster = clusterOf(2, settings);
    cluster.digestOf = ({ slot }, checksum) => (slot === 1 ? 'forged' : `${checksum}`);
    // The two workers are not asked again endlessly.
    for (let i = 0; i < 50 && cluster.requests[0] !== undefined; i++)
      cluster.answer(cluster.requests[0]);
    expect(cluster.logs.at(-1)).toMatch(
      /workers disagree about part \d of step 1; waiting for another worker/,
    );
    cluster.join(2);
    cluster.finish();
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('are judged by a third that joins in time, and do not shorten the next wait', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    beat(cluster, 50_000);
    cluster.join(2);
    for (let step = 1; cluster.state.step < step;)
      answer(cluster, 2, cluster.requests[0]?.part ?? 0);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    lie(cluster, ({ slot }) => slot === 2);
    answerAll(cluster);
    expect(cluster.logs.at(-1)).toMatch(/disagree about part \d of step 2; waiting/);
    beat(cluster, 50_000);
    expect(cluster.outcome).toBeUndefined();
  });

  it('are each asked once more, and one that contradicts itself is disconnected', () => {
    let isFirst = true;
    const cluster = clusterOf(2, settings, ({ slot, part }) => {
      const isWrong = slot === 1 && part === 2 && isFirst;
      if (isWrong) isFirst = false;
      return isWrong;
    });
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    expect(named(cluster)).toEqual([{ name: 'w1', from: 1, to: 1 }]);
  });

  it('stop holding up the run when one of them leaves', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    cluster.leave(1);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([]);
  });

  it("cannot be a single worker that rejoins, as its old connection's results are dropped", () => {
    const cluster = clusterOf(3, settings, ({ slot, step }) => slot === 2 && step === 1);
    answer(cluster, 2, 5);
    cluster.leave(2);
    cluster.join(2);
    lie(cluster, ({ slot }) => slot === 2);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
  });

  it('do not prevent the run from being stopped', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    cluster.dispatch({ kind: 'stop', code: 'INTERRUPTED', now: cluster.now });
    expect(cluster.outcome).toMatchObject({ state: 'interrupted', code: 'INTERRUPTED' });
    const other = clusterOf(2, settings, ({ slot }) => slot === 1);
    other.dispatch({ kind: 'stop', code: 'INTERRUPTED', now: other.now });
    answerAll(other);
    expect(other.outcome).toMatchObject({ state: 'interrupted', code: 'INTERRUPTED' });
  });
});

describe('a worker that sends different results for one part', () => {
  it('is disconnected, and the part is recomputed', () => {
    const cluster = clusterOf(2, long);
    answer(cluster, 1, 3);
    say(cluster, 1, 1, 3, 5n);
    expect(cluster.closed).toEqual([]);
    lie(cluster, ({ slot }) => slot === 1);
    const second = { slot: 1, kind: 'step', step: 1, part: 3 } as const;
    cluster.answer(second);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    expect(named(cluster)).toEqual([{ name: 'w1', from: 1, to: 1 }]);
    expect(cluster.logs.join('\n')).toMatch(
      /w1 \(slot 1\) sent a wrong result for part 3 of step 1: it sent two different results/,
    );
    answer(cluster, 0, 2);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
    expect(Object.fromEntries(cluster.state.delivered)).toEqual({ w0: 32, w1: 0 });
  });

  it('is disconnected even if the second result is right', () => {
    const cluster = clusterOf(3, { audit }, ({ slot, step }) => slot === 0 && step === 1);
    const request = cluster.requests.find(({ slot }) => slot === 0);
    if (request === undefined) throw new Error('slot 0 was not asked');
    cluster.answer(request);
    lie(cluster, () => false);
    cluster.answer(request);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
  });

  it('may still repeat the same result any number of times', () => {
    const cluster = clusterOf(2, { audit });
    const request = requestOf(cluster, 0, 2);
    for (let i = 0; i < 50; i++) cluster.answer(request);
    expect(cluster.state.counts.duplicates).toBe(49);
    expect(cluster.state.times.step).toHaveLength(1);
    cluster.finish();
    expect(cluster.closed).toEqual([]);
    expect(cluster.outcome?.state).toBe('finished');
  });
});

describe('a second result for a part, from another worker', () => {
  /**
   * A cluster of three workers. The one in slot 1 is late with part 4, so the one in slot 2
   * computes it instead. Parts 4 and 5 form one sum.
   */
  function lateCluster(wrong: (request: Request) => boolean = () => false, settings = {}): Cluster {
    const cluster = clusterOf(3, { ...long, ...settings }, wrong);
    cluster.tick(15_000);
    for (const slot of [0, 2]) cluster.say(slot, { kind: 'heartbeat' });
    answer(cluster, 2, 5);
    cluster.tick(16_000);
    answer(cluster, 2, 4);
    expect(cluster.updates).toEqual([]);
    return cluster;
  }

  it('that differs while the step is open withdraws the first one, and a third decides', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    answer(cluster, 1, 4);
    expect(cluster.logs.at(-1)).toMatch(/w1 and w2 disagree about part 4 of step 1/);
    expect(cluster.state.task).toMatchObject({ openParts: 3, correct: 0 });
    while (cluster.updates.length === 0)
      for (const request of cluster.requests.slice()) cluster.answer(request);
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    const delivered = [...cluster.state.delivered.values()].reduce(
      (sum, samples) => sum + samples,
      0,
    );
    expect(delivered).toBe(32);
  });

  it('loses to the majority of three workers, in any order of arrival', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 2 && step === 1);
    answer(cluster, 1, 4);
    while (cluster.updates.length === 0)
      for (const request of cluster.requests.slice()) cluster.answer(request);
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
  });

  it('does not lower the quorum of a neighbouring part that is audited', () => {
    const cluster = clusterOf(4, { audit });
    const of = (part: number) =>
      cluster.requests.filter((each) => each.part === part).map(({ slot }) => slot);
    const [first = 0, second = 0] = of(4);
    answer(cluster, first, 4);
    answer(cluster, second, 4);
    const support = cluster.state.task?.parts.get(4)?.answers.length;
    expect(support).toBe(2);
    for (const slot of of(5)) answer(cluster, slot, 5);
    // The worker that confirmed part 5 contradicts itself: parts 4 and 5 form one sum.
    lie(cluster, () => true);
    const liar = cluster.state.task?.parts.get(5)?.accepted?.slot ?? 0;
    cluster.answer({ slot: liar, kind: 'step', step: 1, part: 5 });
    const part = cluster.state.task?.parts.get(4);
    expect(part).toMatchObject({ accepted: undefined, quorum: 2 });
    lie(cluster, () => false);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
  });

  it("does not lower the neighbour's quorum even if all other workers confirmed the part", () => {
    const cluster = clusterOf(3, { audit });
    const of = (part: number) =>
      cluster.requests.filter((each) => each.part === part).map(({ slot }) => slot);
    // Two workers are asked for each part. One of those asked for part 5 was not asked for part 4.
    const [decided, other] = [4, 5];
    const both = of(decided);
    for (const slot of both) answer(cluster, slot, decided);
    const third = of(other).find((slot) => !both.includes(slot));
    if (third === undefined) throw new Error('no third worker was asked for the other part');
    for (const slot of of(other).filter((each) => each !== third)) answer(cluster, slot, other);
    answer(cluster, third, other);
    lie(cluster, () => true);
    cluster.answer({ slot: third, kind: 'step', step: 1, part: other });
    expect(cluster.closed).toEqual([{ slot: third, code: 'DISAGREEMENT' }]);
    expect(cluster.state.task?.parts.get(decided)).toMatchObject({
      accepted: undefined,
      quorum: 2,
    });
    lie(cluster, () => false);
    for (let i = 0; i < 100 && cluster.updates.length === 0; i++) {
      const [request] = cluster.requests;
      if (request !== undefined) cluster.answer(request);
    }
    expect(cluster.updates).toEqual([FULL]);
  });

  it('that contradicts two others counts as wrong', () => {
    const isWrong = ({ slot, step }: Request) => slot === 2 && step === 1;
    // Worker 2 audits another part as well.
    const cluster = [1, 2, 3, 4, 5, 6]
      .map((key) => clusterOf(3, { ...long, audit: { rate: 1, key: [key, 0] } }, isWrong))
      .find(({ requests }) => requests.filter(({ slot }) => slot === 2).length === 2);
    if (cluster === undefined) throw new Error('none of these keys draws worker 2');
    cluster.tick(15_000);
    for (const request of cluster.requests.filter(({ slot }) => slot !== 2))
      cluster.answer(request);
    cluster.tick(16_000);
    // Another worker computes worker 2's part; the other part keeps the step open.
    const third = cluster.requests.find(({ slot, part }) => slot !== 2 && part === 5);
    if (third === undefined) throw new Error('part 5 was not offered to a third worker');
    cluster.answer(third);
    expect(cluster.state.task?.parts.get(5)).toMatchObject({
      quorum: 2,
      accepted: { checksum: 1005n },
    });
    answer(cluster, 2, 5);
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
    expect(cluster.updates).toEqual([]);
    cluster.finish();
    expect(cluster.updates[0]).toBe(FULL);
  });

  it('that arrives after the step is compared, and both workers are reported once', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
    const late = requestOf(cluster, 1, 4);
    for (let i = 0; i < 3; i++) cluster.answer(late);
    const warning =
      'w1 and w2 disagree about part 4 of step 1, which is done: ' +
      'run mnist-dist verify RUN --from 0';
    const said = cluster.logs.filter((line) => line.includes(warning));
    expect(said).toHaveLength(1);
    expect(cluster.state.counts).toMatchObject({ differing: 3, fenced: 3 });
    expect(cluster.closed).toEqual([]);
  });

  it.each([
    ['twice, with different values', 1, [-7n, -8n]],
    ['first wrong, then right', 1, [-7n, 1004n]],
    ['first right, then wrong', 1, [1004n, -7n]],
    ['with a different value than before', 2, [-7n]],
  ] as const)(
    'that arrives after the step disconnects a worker that sends it %s',
    (_, slot, words) => {
      const cluster = lateCluster();
      answer(cluster, 0, 3);
      expect(cluster.updates).toEqual([FULL]);
      const late = { slot, kind: 'step', step: 1, part: 4 } as const;
      for (const [i, word] of words.entries()) {
        expect(cluster.closed, `word ${i}`).toEqual([]);
        cluster.checksumOf = () => word;
        cluster.answer(late);
      }
      expect(cluster.closed).toEqual([{ slot, code: 'DISAGREEMENT' }]);
      expect(named(cluster)).toMatchObject([{ name: `w${slot}`, to: 1 }]);
    },
  );

  it('is ignored in a run with mixed engines', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    cluster.state = { ...cluster.state, mixed: true };
    answer(cluster, 1, 4);
    expect(cluster.state.task?.openParts).toBe(1);
    answer(cluster, 0, 3);
    cluster.answer({ slot: 1, kind: 'step', step: 1, part: 4 });
    expect(cluster.state.counts.differing).toBe(0);
  });

  it('that is identical is counted for as long as the step is remembered', () => {
    const cluster = lateCluster();
    answer(cluster, 0, 3);
    const late = requestOf(cluster, 1, 4);
    cluster.answer(late);
    expect(cluster.state.counts).toMatchObject({ duplicates: 1, fenced: 1, differing: 0 });
    while (cluster.state.step < 1 + REMEMBERED_STEPS) cluster.answer(cluster.requests[0] ?? late);
    const { duplicates, fenced } = cluster.state.counts;
    cluster.answer(late);
    expect(cluster.state.counts).toMatchObject({ duplicates, fenced: fenced + 1 });
    expect(cluster.state.closed).toHaveLength(REMEMBERED_STEPS);
  });

  it('cannot come from a worker that took over the slot of the worker that was asked', () => {
    const open = lateCluster();
    open.leave(1);
    open.join(1, 'f', 'newcomer');
    say(open, 1, 1, 4, 5n);
    expect(open.closed).toEqual([{ slot: 1, code: 'PROTOCOL' }]);
    expect(open.state.counts.differing).toBe(0);

    const done = lateCluster();
    answer(done, 0, 3);
    done.leave(1);
    done.join(1, 'f', 'newcomer');
    say(done, 1, 1, 4, 5n);
    expect(done.closed).toEqual([]);
    expect(done.state.counts).toMatchObject({ differing: 0, fenced: 1 });
  });
});
