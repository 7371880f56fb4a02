import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CLAIM_LIMIT_MILLISECONDS,
  MAX_PREPARE_LIMIT_MILLISECONDS,
  PREPARING_PLACE_MILLISECONDS,
} from '../../../../shared/limits.ts';
import { ARITHMETIC } from '../../../../shared/arithmetic/version.ts';
import { PROTOCOL } from '../../../../shared/wire/messages.ts';
import { beat, EXPECTED, fail, FULL, workerIn } from './answers.ts';
import { Cluster, configuration } from '../../../fixtures/reducer-cluster.ts';

/** The versions in a worker's hello. */
const versions = { protocol: PROTOCOL, arithmetic: ARITHMETIC, version: '0' };
describe('an undisturbed run', () => {
  it.each([1, 2, 3, 4, 5, 8, 11])('with %i workers adds in the same tree', (workers) => {
    const cluster = new Cluster({ startWorkers: workers });
    for (let slot = 0; slot < workers; slot++) cluster.join(slot);
    cluster.finish();
    expect(cluster.updates).toEqual(EXPECTED);
    expect(cluster.evaluations).toEqual(['test 4: 0,1,2', 'test 8: 0,1,2']);
    expect(cluster.outcome?.state).toBe('finished');
    const delivered = [...cluster.state.delivered.values()];
    expect(delivered).toHaveLength(Math.min(workers, 8));
    expect(delivered.reduce((sum, samples) => sum + samples, 0)).toBe(200);
  });

  it('ends after --steps with a final evaluation, even within an epoch', () => {
    const cluster = new Cluster({ configuration: { ...configuration, steps: 2 }, totalSteps: 2 });
    cluster.join(0);
    cluster.finish();
    expect(cluster.updates).toEqual([FULL, FULL]);
    expect(cluster.evaluations).toEqual(['test 2: 0,1,2']);
  });
});

describe('a disturbed run', () => {
  it('computes the same sums in any order of results, joins, departures and delays', () => {
    const action = fc.oneof(
      { weight: 20, arbitrary: fc.record({ do: fc.constant('answer' as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('join' as const), which: fc.nat() }) },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constant('tick' as const), which: fc.nat({ max: 40_000 }) }),
      },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const cluster = new Cluster();
        cluster.join(0);
        let slots = 1;
        for (const { do: what, which } of actions) {
          const present = [...cluster.state.workers.keys()];
          const request = cluster.requests[which % Math.max(1, cluster.requests.length)];
          if (cluster.outcome !== undefined) break;
          if (what === 'answer' && request !== undefined) cluster.answer(request);
          if (what === 'leave' && present.length > 1)
            cluster.leave(present[which % present.length] ?? 0);
          if (what === 'join' && present.length < 12) cluster.join(slots++);
          // The workers send heartbeats, and only miss their leases.
          for (const slot of present) cluster.say(slot, { kind: 'heartbeat' });
          if (what === 'tick') cluster.tick(which % 19_000);
        }
        cluster.join(slots);
        cluster.finish();
        expect(cluster.updates).toEqual(EXPECTED);
        expect(cluster.evaluations).toEqual(['test 4: 0,1,2', 'test 8: 0,1,2']);
        expect(cluster.outcome?.state).toBe('finished');
      }),
      { numRuns: 300 },
    );
  });

  it("reassigns a lost worker's parts, and only those", () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    expect(cluster.requests.map(({ slot, part }) => [slot, part])).toEqual([
      [0, 2],
      [1, 3],
    ]);
    cluster.leave(1);
    expect(cluster.requests.map(({ slot, part }) => [slot, part])).toEqual([
      [0, 2],
      [0, 3],
    ]);
  });

  it("offers a late worker's work to others, and takes only the first result", () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    const [first, late] = cluster.requests;
    if (first === undefined || late === undefined)
      throw new Error('fewer than two workers were asked');
    cluster.answer(first);
    cluster.tick(15_000);
    cluster.say(0, { kind: 'heartbeat' });
    cluster.tick(16_000);
    expect(cluster.requests.map(({ slot, part }) => [slot, part])).toEqual([
      [1, 3],
      [0, 3],
    ]);
    cluster.answer(late);
    expect(cluster.updates).toEqual([FULL]);
    // Both workers compute step 2 now; the second answer to step 1 is dropped.
    const stale = cluster.requests.find(({ step }) => step === 1);
    if (stale === undefined) throw new Error('the second lease is not open');
    cluster.answer(stale);
    expect(cluster.state.counts).toMatchObject({ fenced: 1, stragglerSteps: 1, reassigned: 1 });
    expect(cluster.updates).toEqual([FULL]);
  });

  it('waits for another worker when the last one leaves, and gives up after --rdzv-timeout', () => {
    const cluster = new Cluster();
    cluster.join(0);
    cluster.leave(0);
    expect(cluster.state.phase).toBe('gathering');
    cluster.tick(59_000);
    expect(cluster.outcome).toBeUndefined();
    cluster.tick(2_000);
    expect(cluster.outcome).toMatchObject({ state: 'failed', code: 'RENDEZVOUS' });
  });

  it('waits while fewer than --min-workers are left, and resumes its open step', () => {
    const cluster = new Cluster({ minWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    cluster.leave(1);
    expect(cluster.state.phase).toBe('gathering');
    for (const request of cluster.requests) cluster.answer(request);
    expect(cluster.updates).toEqual([]);
    cluster.join(1);
    expect(cluster.state.phase).toBe('running');
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('waits for all expected workers, but only until --rdzv-timeout', () => {
    const cluster = new Cluster({ startWorkers: 3, minWorkers: 1 });
    cluster.join(0);
    cluster.join(1);
    cluster.tick(15_000);
    cluster.say(0, { kind: 'heartbeat' });
    cluster.say(1, { kind: 'heartbeat' });
    expect(cluster.state.phase).toBe('gathering');
    for (let i = 0; i < 5; i++) {
      cluster.tick(10_000);
      for (const slot of [0, 1]) cluster.say(slot, { kind: 'heartbeat' });
    }
    expect(cluster.state.phase).toBe('running');
    cluster.finish();
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('requests a checkpoint when one is due, after the step is recorded', () => {
    const cluster = new Cluster({ checkpointEvery: { steps: 3 } });
    cluster.join(0);
    cluster.finish();
    expect(cluster.checkpoints).toEqual([3, 6]);
    const timed = new Cluster({ checkpointEvery: { milliseconds: 100 } });
    timed.join(0);
    timed.now += 99;
    timed.answer(timed.requests[0] ?? fail());
    expect(timed.checkpoints).toEqual([]);
    timed.now += 1;
    timed.answer(timed.requests[0] ?? fail());
    expect(timed.checkpoints).toEqual([2]);
  });

  it('does not count the same bad result twice', () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    cluster.nonFinite = ({ slot }) => slot === 0;
    const first = cluster.requests.find(({ slot }) => slot === 0) ?? fail();
    cluster.answer(first);
    cluster.answer(first);
    expect(cluster.outcome).toBeUndefined();
    expect(cluster.state.counts.duplicates).toBe(1);
  });

  it('has another worker recompute a result that is not finite before it blames the model', () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    let asked: number[] = [];
    cluster.nonFinite = ({ slot, part }) => part === 2 && (asked = [...asked, slot]).length > 0;
    cluster.finish();
    expect(asked).toEqual([0, 1]);
    expect(cluster.state.counts).toMatchObject({ nonFinite: 1, nonFiniteSteps: 1 });
    expect(cluster.outcome).toMatchObject({ state: 'diverged', code: 'DIVERGED' });
    expect(cluster.closed).toEqual([]);
  });
});

describe('a worker may not', () => {
  const running = () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    cluster.join(1);
    return cluster;
  };
  const gradient = {
    kind: 'gradient',
    run: 'r',
    term: 1,
    step: 1,
    part: 2,
    correct: 0,
    microseconds: 1,
  } as const;

  it.each([
    ['deliver a part that is leased to another worker', { ...gradient, part: 3 }],
    ['deliver a part that does not exist', { ...gradient, part: 1 }],
    ['claim more correct rows than its shards have', { ...gradient, correct: 17 }],
    ['say hello twice', { kind: 'hello', ...versions, name: 'x' } as const],
  ])('%s', (_, message) => {
    const cluster = running();
    cluster.say(0, message);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'PROTOCOL' }]);
    cluster.finish();
    expect(cluster.updates).toEqual(EXPECTED);
  });

  it.each([
    ['another run', { ...gradient, run: 'other' }],
    ['another term', { ...gradient, term: 0 }],
    ['another step', { ...gradient, step: 2 }],
    [
      'an evaluation that is not open',
      {
        kind: 'predictions',
        run: 'r',
        term: 1,
        step: 1,
        set: 'test',
        part: 0,
        microseconds: 1,
      } as const,
    ],
  ])('contribute a result from %s, which is dropped', (_, message) => {
    const cluster = running();
    cluster.say(0, message);
    expect(cluster.closed).toEqual([]);
    expect(cluster.state.counts.fenced).toBe(1);
    expect(cluster.state.task?.openParts).toBe(2);
  });

  it('prepare longer than it has announced, even with heartbeats', () => {
    const cluster = new Cluster({ startWorkers: 9 });
    cluster.connect(0);
    cluster.connect(1);
    const hello = {
      kind: 'hello',
      ...versions,
      name: 'w1',
    } as const;
    cluster.say(1, hello);
    cluster.say(1, { kind: 'preparing', limitMilliseconds: 60_000 });
    for (let seconds = 0; seconds < 55; seconds += 5) {
      for (const slot of [0, 1]) cluster.say(slot, { kind: 'heartbeat' });
      cluster.tick(5_000);
    }
    expect(cluster.closed).toEqual([{ slot: 0, code: 'TIMEOUT' }]);
    cluster.say(1, { kind: 'heartbeat' });
    cluster.tick(5_000);
    expect(cluster.closed).toContainEqual({ slot: 1, code: 'TIMEOUT' });
  });

  it('announce its preparation time twice', () => {
    const cluster = new Cluster();
    cluster.connect(0);
    cluster.say(0, { kind: 'hello', ...versions, name: 'w0' });
    cluster.say(0, { kind: 'preparing', limitMilliseconds: 60_000 });
    expect(cluster.closed).toEqual([]);
    cluster.say(0, { kind: 'preparing', limitMilliseconds: 60_000 });
    expect(cluster.closed).toEqual([{ slot: 0, code: 'PROTOCOL' }]);
  });

  it('be silent beyond the limit before hello, while preparing or while idle', () => {
    const cluster = new Cluster({ startWorkers: 9 });
    cluster.connect(0);
    cluster.join(1);
    cluster.tick(11_000);
    expect(cluster.closed).toEqual([{ slot: 0, code: 'TIMEOUT' }]);
    cluster.tick(10_000);
    expect(cluster.closed).toContainEqual({ slot: 1, code: 'TIMEOUT' });
  });
});

it.each([
  [0, 'starting'],
  [5, 'continuing'],
])('a run after step %i is logged as %s', (step, word) => {
  const cluster = new Cluster({ startWorkers: 1 });
  cluster.state = { ...cluster.state, step, evaluated: { validation: step, test: step } };
  cluster.join(0);
  expect(cluster.logs).toContain(`${word} with 1 worker`);
});

describe('admission', () => {
  it('picks the most common fingerprint, and tells the other workers both fingerprints', () => {
    const cluster = new Cluster({ startWorkers: 3 });
    cluster.join(0, 'b');
    cluster.join(1, 'a');
    cluster.join(2, 'a');
    expect(cluster.closed).toEqual([]);
    expect(cluster.state.phase).toBe('gathering');
    cluster.join(3, 'a');
    expect(cluster.state.fingerprint).toBe('a');
    cluster.join(4, 'c');
    expect(cluster.closed).toEqual([]);
    expect(
      cluster.logs.filter((line) => line.includes('it waits until the first step is done')),
    ).toHaveLength(2);
    while (cluster.state.step === 0) cluster.answer(cluster.requests[0] ?? fail());
    expect(cluster.closed).toEqual([
      { slot: 0, code: 'FINGERPRINT' },
      { slot: 4, code: 'FINGERPRINT' },
    ]);
    cluster.join(5, 'c');
    expect(cluster.closed).toContainEqual({ slot: 5, code: 'FINGERPRINT' });
    cluster.finish();
    expect(cluster.updates).toEqual(EXPECTED);
    expect(cluster.state.mixed).toBe(false);
  });

  it.each([0, 1])(
    'does not exclude other workers because of a forged fingerprint with %i results',
    (deliver) => {
      const cluster = new Cluster({ startWorkers: 2 });
      cluster.join(0, 'forged');
      cluster.join(1, 'forged');
      cluster.join(2, 'honest');
      expect(cluster.state.fingerprint).toBe('forged');
      for (const request of cluster.requests.slice(0, deliver)) cluster.answer(request);
      cluster.leave(0);
      cluster.leave(1);
      cluster.finish();
      expect(cluster.closed).toEqual([]);
      expect(cluster.state.fingerprint).toBe('honest');
      expect(cluster.updates).toEqual(EXPECTED);
      expect(cluster.outcome?.state).toBe('finished');
      const delivered = [...cluster.state.delivered.values()];
      expect(delivered.reduce((sum, samples) => sum + samples, 0)).toBe(200);
    },
  );

  it('does not let workers with a forged fingerprint hold up a run with heartbeats', () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0, 'forged');
    cluster.join(1, 'forged');
    beat(cluster, 2 * CLAIM_LIMIT_MILLISECONDS);
    expect(cluster.closed).toEqual([]);
    cluster.requests = [];
    cluster.join(2, 'honest');
    beat(cluster, CLAIM_LIMIT_MILLISECONDS - 1);
    expect(cluster.closed).toEqual([]);
    beat(cluster, 1);
    expect(cluster.closed).toEqual([
      { slot: 0, code: 'TIMEOUT' },
      { slot: 1, code: 'TIMEOUT' },
    ]);
    // The forgers rejoin immediately, and compete with the honest fingerprint.
    cluster.join(3, 'forged');
    cluster.join(4, 'forged');
    beat(cluster, CLAIM_LIMIT_MILLISECONDS);
    expect(cluster.state.fingerprint).toBe('honest');
    cluster.finish();
    expect(cluster.updates).toEqual(EXPECTED);
    expect(cluster.closed.slice(2)).toEqual([
      { slot: 3, code: 'FINGERPRINT' },
      { slot: 4, code: 'FINGERPRINT' },
    ]);
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('accepts other fingerprints with --allow-mixed-engines, and records that it did', () => {
    const cluster = new Cluster({ startWorkers: 2, allowMixedEngines: true });
    cluster.join(0, 'b');
    cluster.join(1, 'a');
    cluster.finish();
    expect(cluster.closed).toEqual([]);
    expect(cluster.state.mixed).toBe(true);
    expect(cluster.outcome?.state).toBe('finished');
  });

  it('refuses other versions, and more workers than --max-workers', () => {
    const cluster = new Cluster({ maxWorkers: 1, minWorkers: 1 });
    cluster.connect(0);
    cluster.say(0, {
      kind: 'hello',
      protocol: PROTOCOL + 1,
      arithmetic: ARITHMETIC,
      version: '9',
      name: 'new',
    });
    expect(cluster.closed).toEqual([{ slot: 0, code: 'VERSION' }]);
    cluster.join(1);
    cluster.join(2);
    expect(cluster.closed).toContainEqual({ slot: 2, code: 'FULL' });
  });

  it('replaces the worker that has been preparing longest, but not too early', () => {
    const cluster = new Cluster({ maxWorkers: 3 });
    const hello = {
      kind: 'hello',
      ...versions,
      name: 'idler',
    } as const;
    cluster.join(0);
    for (const slot of [1, 2]) {
      cluster.connect(slot);
      cluster.say(slot, hello);
      cluster.say(slot, { kind: 'preparing', limitMilliseconds: MAX_PREPARE_LIMIT_MILLISECONDS });
      cluster.say(0, { kind: 'heartbeat' });
      cluster.tick(1_000);
    }
    cluster.join(3);
    expect(cluster.closed).toEqual([{ slot: 3, code: 'FULL' }]);
    for (let passed = 0; passed < PREPARING_PLACE_MILLISECONDS; passed += 10_000) {
      cluster.say(0, { kind: 'heartbeat' });
      cluster.tick(10_000);
    }
    cluster.join(4);
    expect(cluster.closed.slice(1)).toEqual([{ slot: 1, code: 'FULL' }]);
    cluster.join(5);
    expect(cluster.closed.slice(2)).toEqual([{ slot: 2, code: 'FULL' }]);
    // A worker that is ready is not replaced.
    cluster.join(6);
    expect(cluster.closed.slice(3)).toEqual([{ slot: 6, code: 'FULL' }]);
    expect([...cluster.state.workers.keys()]).toEqual([0, 4, 5]);
  });

  it('lets a worker that dials again replace its old connection immediately', () => {
    const cluster = new Cluster({ maxWorkers: 1 });
    cluster.join(0);
    const { session } = workerIn(cluster, 0);
    cluster.connect(1);
    cluster.say(1, {
      kind: 'hello',
      ...versions,
      name: 'w0',
      session,
    });
    expect(cluster.closed).toEqual([{ slot: 0, code: 'SUPERSEDED' }]);
  });
});

describe('the expected workers', () => {
  it('are fewer once one of them has ended for good', () => {
    const cluster = new Cluster({ startWorkers: 2 });
    cluster.join(0);
    expect(cluster.state.phase).toBe('gathering');
    cluster.dispatch({ kind: 'expect', workers: 1, now: 1 });
    expect(cluster.state.phase).toBe('running');
  });

  it('are at least as many as --min-workers says', () => {
    const cluster = new Cluster({ startWorkers: 3, minWorkers: 2 });
    cluster.join(0);
    cluster.dispatch({ kind: 'expect', workers: 1, now: 1 });
    expect(cluster.state.phase).toBe('gathering');
  });
});

describe('a stopped run', () => {
  it('ends after the open step', () => {
    const cluster = new Cluster();
    cluster.join(0);
    cluster.dispatch({ kind: 'stop', code: 'INTERRUPTED', now: 1 });
    expect(cluster.outcome).toBeUndefined();
    cluster.finish();
    expect(cluster.updates).toEqual([FULL]);
    expect(cluster.outcome).toMatchObject({ state: 'interrupted', code: 'INTERRUPTED' });
  });

  it('ends immediately if no step is open', () => {
    const cluster = new Cluster();
    cluster.dispatch({ kind: 'stop', code: 'TERMINATED', now: 1 });
    expect(cluster.outcome).toMatchObject({ state: 'interrupted', code: 'TERMINATED' });
  });
});
