import { describe, expect, it } from 'vitest';
import { REMEMBERED_STEPS } from '../../shared/limits.ts';
import { Cluster, configuration, type Request } from './cluster.ts';

const FULL = '(((s0+s1)+(s2+s3))+((s4+s5)+(s6+s7)))';
const audit = { rate: 1, key: [1, 2] } as const;

/** A cluster whose workers have joined before step 1; `wrong` says whose answers are wrong. */
function clusterOf(
  workers: number,
  settings = {},
  wrong: (request: Request) => boolean = () => false,
): Cluster {
  const cluster = new Cluster({ startWorkers: workers, ...settings });
  const honest = cluster.checksumOf;
  cluster.checksumOf = (request) => (wrong(request) ? -1n - BigInt(request.slot) : honest(request));
  for (let slot = 0; slot < workers; slot++) cluster.join(slot);
  return cluster;
}

function parts(cluster: Cluster): number[][] {
  return cluster.requests.map(({ slot, part }) => [slot, part]);
}

function answer(cluster: Cluster, slot: number, part: number): void {
  const request = cluster.requests.find((each) => each.slot === slot && each.part === part);
  if (request === undefined)
    throw new Error(`slot ${slot} was not asked for ${part}: ${JSON.stringify(parts(cluster))}`);
  cluster.answer(request);
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
    expect(Object.fromEntries(cluster.state.confirmed)).toEqual({ w0: 1, w1: 1 });
  });

  it('tells nobody but the auditor', () => {
    const cluster = clusterOf(3, { audit });
    const assigned = cluster.assignments[0] ?? [];
    expect(assigned.flatMap(([, ...nodes]) => nodes).toSorted()).toEqual([3, 4, 5]);
  });

  it('draws about as many subtrees as its rate says, and none by its workers', () => {
    const share = (rate: number, key: readonly [number, number]) => {
      const cluster = clusterOf(2, {
        audit: { rate, key },
        configuration: { ...configuration, steps: 300 },
        totalSteps: 300,
      });
      let asked = 0;
      while (cluster.outcome === undefined) {
        const step = cluster.requests.filter(({ kind }) => kind === 'step');
        asked += step.length;
        for (const request of [...cluster.requests]) cluster.answer(request);
      }
      return asked;
    };
    const [none, some, all] = [share(1e-9, [1, 2]), share(0.25, [1, 2]), share(1, [1, 2])];
    expect(all).toBe(2 * none);
    expect(some / none).toBeGreaterThan(1.15);
    expect(some / none).toBeLessThan(1.35);
    expect(share(0.25, [3, 4])).not.toBe(some);
  });

  it('lets a third decide between two that differ, and shows the one that was wrong the door', () => {
    const cluster = clusterOf(3, { audit }, ({ slot }) => slot === 0);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'DISAGREEMENT' }]);
    expect(cluster.state.suspects).toEqual([{ name: 'w0', from: 1, to: 1 }]);
    expect(cluster.logs.join('\n')).toMatch(
      /w0 computed something else for part \d of step 1 than two others; .*verify RUN --from 0/,
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

  it('names as suspect what nobody has confirmed since', () => {
    let step = 1;
    const cluster = clusterOf(3, { audit }, ({ slot, step: at }) => slot === 1 && at === 3);
    for (; cluster.closed.length === 0; step++)
      for (const request of [...cluster.requests]) cluster.answer(request);
    expect(cluster.state.suspects).toEqual([{ name: 'w1', from: 2, to: 3 }]);
  });

  it('says once that one worker cannot be audited, and goes on', () => {
    const cluster = clusterOf(1, { audit });
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.logs.filter((line) => /nobody is there to audit it/.test(line))).toHaveLength(1);
  });

  it('takes one answer for enough when the other worker is gone', () => {
    const cluster = clusterOf(2, { audit });
    answer(cluster, 0, 2);
    answer(cluster, 0, 3);
    cluster.leave(1);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.updates[0]).toBe(FULL);
    expect(cluster.state.confirmed.size).toBe(0);
  });

  it('waits for a third as long as for workers, and then ends the run', () => {
    const cluster = clusterOf(2, { audit }, ({ slot }) => slot === 1);
    while (cluster.requests.length > 0) for (const request of [...cluster.requests]) cluster.answer(request);
    expect(cluster.logs.at(-1)).toMatch(/workers differ about part \d of step 1; waiting for another one/);
    cluster.tick(1_000);
    expect(cluster.outcome).toBeUndefined();
    for (let i = 0; i < 6; i++) {
      for (const slot of [0, 1]) cluster.say(slot, { kind: 'heartbeat' });
      cluster.tick(10_000);
    }
    expect(cluster.outcome).toMatchObject({ state: 'failed', code: 'DISAGREEMENT' });
    expect(cluster.updates).toEqual([]);
  });

  it('goes on when the third comes in time', () => {
    const cluster = clusterOf(2, { audit }, ({ slot }) => slot === 1);
    while (cluster.requests.length > 0) for (const request of [...cluster.requests]) cluster.answer(request);
    cluster.tick(1_000);
    cluster.join(2);
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
  });

  it('asks both once more when nobody else is there: an accident is put right', () => {
    let isFirst = true;
    const cluster = clusterOf(2, { audit }, ({ slot, part }) => {
      const isWrong = slot === 1 && part === 2 && isFirst;
      if (isWrong) isFirst = false;
      return isWrong;
    });
    // `checksumOf` is asked twice for one answer: as it is claimed, and as it is received.
    const honest = cluster.checksumOf;
    let claimed: bigint | undefined;
    cluster.checksumOf = (request) => {
      const value = claimed ?? honest(request);
      claimed = claimed === undefined ? value : undefined;
      return value;
    };
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
    expect(cluster.closed).toEqual([]);
  });
});

describe('a second result of one part', () => {
  /** Worker 1 is late with part 3, which worker 0 gets too. */
  function lateCluster(wrong: (request: Request) => boolean, workers = 2): Cluster {
    const cluster = clusterOf(workers, {}, wrong);
    cluster.tick(15_000);
    for (let slot = 0; slot < workers; slot++) if (slot !== 1) cluster.say(slot, { kind: 'heartbeat' });
    answer(cluster, 0, 2);
    cluster.tick(16_000);
    return cluster;
  }

  it('that differs while the step is open takes the first one back, and a third decides', () => {
    const cluster = clusterOf(
      3,
      { configuration: { ...configuration, virtualShards: 4 } },
      ({ slot, step }) => slot === 1 && step === 1,
    );
    expect(parts(cluster)).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    cluster.tick(15_000);
    for (const slot of [0, 2]) cluster.say(slot, { kind: 'heartbeat' });
    answer(cluster, 2, 5);
    cluster.tick(16_000);
    // Worker 2 is asked for what worker 1 owes, and is done with it first: 4 and 5 are one sum now.
    answer(cluster, 2, 4);
    expect(cluster.updates).toEqual([]);
    answer(cluster, 1, 4);
    expect(cluster.logs.at(-1)).toMatch(/w1 and w2 differ about part 4 of step 1/);
    expect(cluster.state.task?.openParts).toBe(3);
    cluster.finish();
    expect(cluster.updates[0]).toBe('((s0+s1)+(s2+s3))');
    expect(cluster.closed).toEqual([{ slot: 1, code: 'DISAGREEMENT' }]);
    const delivered = [...cluster.state.delivered.values()].reduce((sum, samples) => sum + samples, 0);
    expect(delivered).toBe(200);
  });

  it('that comes when the step is done is compared, and both are named', () => {
    const cluster = lateCluster(({ slot, step }) => slot === 1 && step === 1);
    answer(cluster, 0, 3);
    expect(cluster.updates).toEqual([FULL]);
    answer(cluster, 1, 3);
    expect(cluster.logs.at(-1)).toMatch(
      /w1 and w0 differ about part 3 of step 1, which is done: mnist-dist verify RUN --from 0/,
    );
    expect(cluster.state.counts).toMatchObject({ differing: 1, fenced: 1 });
    expect(cluster.closed).toEqual([]);
  });

  it('that is the same is counted, as long as the step is remembered', () => {
    const long = { configuration: { ...configuration, steps: 100 }, totalSteps: 100 };
    const cluster = clusterOf(2, long);
    cluster.tick(15_000);
    cluster.say(0, { kind: 'heartbeat' });
    answer(cluster, 0, 2);
    cluster.tick(16_000);
    answer(cluster, 0, 3);
    const late = cluster.requests.find(({ slot, step }) => slot === 1 && step === 1);
    if (late === undefined) throw new Error('worker 1 was asked');
    cluster.answer(late);
    expect(cluster.state.counts).toMatchObject({ duplicates: 1, fenced: 1, differing: 0 });
    while (cluster.state.step < 1 + REMEMBERED_STEPS) cluster.answer(cluster.requests[0] ?? late);
    cluster.answer(late);
    expect(cluster.state.counts).toMatchObject({ duplicates: 1, fenced: 2 });
    expect(cluster.state.closed).toHaveLength(REMEMBERED_STEPS);
  });

  it('of a step before it came is nothing a worker can know', () => {
    const cluster = lateCluster(() => false);
    answer(cluster, 0, 3);
    cluster.leave(1);
    cluster.connect(1);
    const fence = { run: 'r', term: 1, step: 1, part: 3, microseconds: 1, correct: 0 };
    cluster.say(1, { kind: 'hello', protocol: 1, arithmetic: 1, version: '0', name: 'forger' });
    cluster.say(1, { kind: 'preparing', limitMilliseconds: 1000 });
    expect(cluster.closed).toEqual([]);
    cluster.say(1, { kind: 'gradient', ...fence }, 5n);
    expect(cluster.closed).toEqual([{ slot: 1, code: 'PROTOCOL' }]);
    expect(cluster.state.counts.differing).toBe(0);
  });
});
