import { describe, expect, it } from 'vitest';
import { REMEMBERED_STEPS, SET_ASIDE_MILLISECONDS } from '../../shared/limits.ts';
import { Cluster, configuration, type Request } from './cluster.ts';

const FULL = '(((s0+s1)+(s2+s3))+((s4+s5)+(s6+s7)))';
const audit = { rate: 1, key: [1, 2] } as const;
/** No batch is short. */
const long = { configuration: { ...configuration, trainSamples: 9600, epochs: 1 }, totalSteps: 300 };

/** A cluster whose workers have joined before step 1; `wrong` says whose answers are wrong. */
function clusterOf(
  workers: number,
  settings = {},
  wrong: (request: Request) => boolean = () => false,
): Cluster {
  const cluster = new Cluster({ startWorkers: workers, ...settings });
  lie(cluster, wrong);
  for (let slot = 0; slot < workers; slot++) cluster.join(slot);
  return cluster;
}

/** From now on. No two make the same mistake. */
function lie(cluster: Cluster, wrong: (request: Request) => boolean): void {
  cluster.checksumOf = (request) =>
    wrong(request) ? -1n - BigInt(request.slot) : BigInt(1000 * request.step + request.part);
}

function parts(cluster: Cluster): number[][] {
  return cluster.requests.map(({ slot, part }) => [slot, part]);
}

function requestOf(cluster: Cluster, slot: number, part: number): Request {
  const request = cluster.requests.find((each) => each.slot === slot && each.part === part);
  if (request === undefined)
    throw new Error(`slot ${slot} was not asked for ${part}: ${JSON.stringify(parts(cluster))}`);
  return request;
}

function answer(cluster: Cluster, slot: number, part: number): void {
  cluster.answer(requestOf(cluster, slot, part));
}

/** Everybody answers what was asked, again and again, until nobody is asked any more. */
function answerAll(cluster: Cluster): void {
  while (cluster.requests.length > 0 && cluster.outcome === undefined)
    for (const request of [...cluster.requests]) cluster.answer(request);
}

/** Says to the coordinator what nobody asked for. */
function say(cluster: Cluster, slot: number, step: number, part: number, checksum: bigint): void {
  const fence = { run: 'r', term: 1, step, part, microseconds: 1, correct: 0 };
  cluster.say(slot, { kind: 'gradient', ...fence }, checksum);
}

function beat(cluster: Cluster, milliseconds: number): void {
  for (let left = milliseconds; left > 0; left -= 10_000) {
    for (const slot of cluster.state.workers.keys()) cluster.say(slot, { kind: 'heartbeat' });
    cluster.tick(Math.min(left, 10_000));
  }
}

function named({ state }: Cluster): unknown {
  return state.suspects;
}

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

  it('tells nobody but the auditor, whom it draws', () => {
    const auditors = new Set<number | undefined>();
    const cluster = clusterOf(4, { ...long, audit });
    for (let step = 0; step < 20; step++) {
      const planned = cluster.assignments.findLast((assignment) => assignment.length > 0);
      const assigned = (planned ?? []).flatMap(([, ...nodes]) => nodes);
      expect(assigned.toSorted()).toEqual([4, 5, 6, 7]);
      auditors.add(cluster.requests.findLast(({ part }) => part === 4)?.slot);
      for (const request of [...cluster.requests]) cluster.answer(request);
    }
    expect(auditors.size).toBe(3);
  });

  it('draws about as many subtrees as its rate says, of all of them', () => {
    const share = (rate: number, key: readonly [number, number]) => {
      const cluster = clusterOf(2, { ...long, audit: { rate, key } });
      const audited = { 2: 0, 3: 0 };
      while (cluster.outcome === undefined) {
        for (const part of [2, 3] as const) {
          const asked = cluster.requests.filter((each) => each.kind === 'step' && each.part === part);
          audited[part] += Math.max(0, asked.length - 1);
        }
        for (const request of [...cluster.requests]) cluster.answer(request);
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

  it('lets a third decide between two that differ, and shows the one that is wrong the door', () => {
    const cluster = clusterOf(3, { audit }, ({ slot }) => slot === 0);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
    expect(named(cluster)).toEqual([{ name: 'w0', from: 1, to: 1 }]);
    expect(cluster.logs.join('\n')).toMatch(
      /w0 \(slot 0\) is wrong about part \d of step 1: two others contradict it; .*verify RUN --from 0/,
    );
  });

  it('finds who says another number of rows was right', () => {
    const cluster = clusterOf(3, { audit });
    while (cluster.outcome === undefined) {
      const [request] = cluster.requests;
      if (request !== undefined) cluster.answer(request, request.slot === 0 && request.step === 1 ? 1 : 0);
    }
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
  });

  it('believes no checksum that could be made up: digests are compared', () => {
    const cluster = clusterOf(3, { audit });
    cluster.digestOf = ({ slot, step }, checksum) => (slot === 0 && step === 1 ? 'forged' : `${checksum}`);
    answer(cluster, 1, 4);
    answer(cluster, 2, 5);
    const mine = cluster.requests.find(({ slot }) => slot === 0);
    const other = cluster.requests.find(({ slot, part }) => slot !== 0 && part === mine?.part);
    if (mine === undefined || other === undefined) throw new Error('each part has two');
    cluster.answer(other);
    cluster.answer(mine);
    expect(cluster.state.task?.parts.get(mine.part)?.accepted).toBeUndefined();
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.state.task).toBeUndefined();
  });

  it('names as suspect what nobody has confirmed since, of what it was asked for first', () => {
    const rare = { rate: 0.3, key: [5, 6] } as const;
    const cluster = clusterOf(3, { ...long, audit: rare }, ({ slot, step }) => slot === 1 && step >= 20);
    let confirmed = 0;
    while (cluster.closed.length === 0) {
      confirmed = cluster.state.workers.get(1)?.confirmed ?? confirmed;
      for (const request of [...cluster.requests]) cluster.answer(request);
    }
    const { step } = cluster.state;
    expect(confirmed).toBeGreaterThan(1);
    expect(confirmed).toBeLessThan(20);
    expect(named(cluster)).toEqual([{ name: 'w1', from: confirmed, to: expect.any(Number) }]);
    expect(step).toBeGreaterThanOrEqual(19);
  });

  it('confirms nobody for what it audits: an auditor knows that it does', () => {
    const cluster = clusterOf(2, { audit: { rate: 1, key: [1, 2] } });
    answer(cluster, 0, 2);
    answer(cluster, 1, 2);
    expect(cluster.state.workers.get(0)?.confirmed).toBe(1);
    expect(cluster.state.workers.get(1)?.confirmed).toBeUndefined();
  });

  it('says once that one worker cannot be audited, and goes on', () => {
    const cluster = clusterOf(1, { audit });
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.logs.filter((line) => /nobody is there to audit it/.test(line))).toHaveLength(1);
  });

  it('takes one answer for enough when nobody can confirm it, and says so', () => {
    const cluster = clusterOf(2, { audit });
    answer(cluster, 0, 2);
    answer(cluster, 0, 3);
    cluster.leave(1);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.logs.filter((line) => /counts on w0's word alone/.test(line))).toHaveLength(1);
    expect(cluster.state.workers.get(0)?.confirmed).toBeUndefined();
  });

  it('asks who is set aside rather than nobody', () => {
    const cluster = clusterOf(3, { audit }, ({ slot }) => slot === 1);
    const worker = cluster.state.workers.get(2);
    if (worker === undefined) throw new Error('it is there');
    const aside = { ...worker, asideUntil: SET_ASIDE_MILLISECONDS };
    cluster.state = { ...cluster.state, workers: new Map(cluster.state.workers).set(2, aside) };
    answerAll(cluster);
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
  });

  it('does not take a NaN for the model’s fault where another worker’s result is finite', () => {
    const cluster = clusterOf(2, { audit });
    cluster.nonFinite = ({ slot, step }) => slot === 0 && step === 1;
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
  });
});

describe('two that differ, with nobody else there', () => {
  const settings = { audit, rendezvousMilliseconds: 60_000 };

  it('wait for a third as long as for workers, and then the run ends', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    expect(cluster.logs.at(-1)).toMatch(/workers differ about part \d of step 1; waiting for another one/);
    beat(cluster, 59_000);
    expect(cluster.outcome).toBeUndefined();
    beat(cluster, 2_000);
    expect(cluster.outcome).toMatchObject({ state: 'failed', code: 'DISAGREEMENT' });
    expect(cluster.updates).toEqual([]);
  });

  it('are decided by a third that comes in time, and it has all its time the next time', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    beat(cluster, 50_000);
    cluster.join(2);
    for (let step = 1; cluster.state.step < step;) answer(cluster, 2, cluster.requests[0]?.part ?? 0);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    lie(cluster, ({ slot }) => slot === 2);
    answerAll(cluster);
    expect(cluster.logs.at(-1)).toMatch(/differ about part \d of step 2; waiting/);
    beat(cluster, 50_000);
    expect(cluster.outcome).toBeUndefined();
  });

  it('are each asked once more: who errs once contradicts itself and leaves', () => {
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

  it('hold the run no longer when one of them leaves', () => {
    const cluster = clusterOf(2, settings, ({ slot }) => slot === 1);
    answerAll(cluster);
    cluster.leave(1);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([]);
  });

  it('cannot be one that comes again: what a connection said goes with it', () => {
    const cluster = clusterOf(3, settings, ({ slot, step }) => slot === 2 && step === 1);
    answer(cluster, 2, 5);
    cluster.leave(2);
    cluster.join(2);
    lie(cluster, ({ slot }) => slot === 2);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
  });

  it('do not keep a run from being stopped', () => {
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

describe('a worker that says two things about one part', () => {
  it('is wrong once and leaves, and the part is computed again', () => {
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
      /w1 \(slot 1\) is wrong about part 3 of step 1: it contradicts it/,
    );
    answer(cluster, 0, 2);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
    expect(Object.fromEntries(cluster.state.delivered)).toEqual({ w0: 32, w1: 0 });
  });

  it('cannot take back a lie in time', () => {
    const cluster = clusterOf(3, { audit }, ({ slot, step }) => slot === 0 && step === 1);
    const request = cluster.requests.find(({ slot }) => slot === 0);
    if (request === undefined) throw new Error('it was asked');
    cluster.answer(request);
    lie(cluster, () => false);
    cluster.answer(request);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
  });

  it('may say one thing as often as it likes', () => {
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

describe('a second result of one part, of another worker', () => {
  /** Three workers; the one in slot 1 is late with part 4, which the one in slot 2 does in its place: 4 and 5 are one sum. */
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

  it('that differs while the step is open takes the first one back, and a third decides', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    answer(cluster, 1, 4);
    expect(cluster.logs.at(-1)).toMatch(/w1 and w2 differ about part 4 of step 1/);
    expect(cluster.state.task).toMatchObject({ openParts: 3, correct: 0 });
    while (cluster.updates.length === 0) for (const request of [...cluster.requests]) cluster.answer(request);
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    const delivered = [...cluster.state.delivered.values()].reduce((sum, samples) => sum + samples, 0);
    expect(delivered).toBe(32);
  });

  it('makes the honest one of three win, whoever came first', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 2 && step === 1);
    answer(cluster, 1, 4);
    while (cluster.updates.length === 0) for (const request of [...cluster.requests]) cluster.answer(request);
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
  });

  it('leaves what an audit of its neighbour has found', () => {
    const cluster = clusterOf(4, { audit });
    const of = (part: number) =>
      cluster.requests.filter((each) => each.part === part).map(({ slot }) => slot);
    const [first = 0, second = 0] = of(4);
    answer(cluster, first, 4);
    answer(cluster, second, 4);
    const support = cluster.state.task?.parts.get(4)?.answers.length;
    expect(support).toBe(2);
    for (const slot of of(5)) answer(cluster, slot, 5);
    // Who confirmed part 5 contradicts itself: parts 4 and 5 are one sum.
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

  it('that contradicts two is wrong', () => {
    const isWrong = ({ slot, step }: Request) => slot === 2 && step === 1;
    // Worker 2 audits another part, too.
    const cluster = [1, 2, 3, 4, 5, 6]
      .map((key) => clusterOf(3, { ...long, audit: { rate: 1, key: [key, 0] } }, isWrong))
      .find(({ requests }) => requests.filter(({ slot }) => slot === 2).length === 2);
    if (cluster === undefined) throw new Error('one of these keys draws worker 2');
    cluster.tick(15_000);
    for (const request of cluster.requests.filter(({ slot }) => slot !== 2)) cluster.answer(request);
    cluster.tick(16_000);
    // Another one does what worker 2 owes; the other part keeps the step open.
    const third = cluster.requests.find(({ slot, part }) => slot !== 2 && part === 5);
    if (third === undefined) throw new Error('part 5 was offered to a third');
    cluster.answer(third);
    expect(cluster.state.task?.parts.get(5)).toMatchObject({ quorum: 2, accepted: { checksum: 1005n } });
    answer(cluster, 2, 5);
    expect(cluster.closed).toEqual([{ slot: 2, code: 'DISAGREEMENT' }]);
    expect(cluster.updates).toEqual([]);
    cluster.finish();
    expect(cluster.updates[0]).toBe(FULL);
  });

  it('that comes when the step is done is compared; both are named, once', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
    const late = requestOf(cluster, 1, 4);
    for (let i = 0; i < 3; i++) cluster.answer(late);
    const said = cluster.logs.filter((line) =>
      /w1 and w2 differ about part 4 of step 1, which is done: mnist-dist verify RUN --from 0/.test(line),
    );
    expect(said).toHaveLength(1);
    expect(cluster.state.counts).toMatchObject({ differing: 3, fenced: 3 });
    expect(cluster.closed).toEqual([]);
  });

  it('is nothing where mixed engines compute', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    cluster.state = { ...cluster.state, mixed: true };
    answer(cluster, 1, 4);
    expect(cluster.state.task?.openParts).toBe(1);
    answer(cluster, 0, 3);
    cluster.answer({ slot: 1, kind: 'step', step: 1, part: 4 });
    expect(cluster.state.counts.differing).toBe(0);
  });

  it('that is the same is counted, as long as the step is remembered', () => {
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

  it('cannot come from who took the place of the one that was asked', () => {
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
