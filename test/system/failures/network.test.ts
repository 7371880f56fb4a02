import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startCoordinator, startWorker, train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, REFERENCE } from '../../fixtures/processes/options.ts';
import { until, type Started } from '../../fixtures/processes/program.ts';
import { Proxy, type Direction } from '../../fixtures/tcp-proxy.ts';

const COMMON = [...QUICK_RECIPE, '--steps', '1200'];
/** The approximate size of a weights frame of this recipe. */
const FRAME_BYTES = 25_000;
const NAMES = ['w0', 'w1', 'w2'];

interface Cluster {
  readonly proxy: Proxy;
  readonly coordinator: Started;
  /** Waits until all processes have ended, and reads the run's files. */
  finish(): Promise<FinishedRun>;
}

/** Trains with three workers, the named ones through a proxy; tensors travel in frames. */
async function trainThrough(names: readonly string[]): Promise<Cluster> {
  const {
    process: coordinator,
    url,
    runs,
  } = await startCoordinator([...COMMON, '--no-shared-memory', '--start-workers', '3']);
  const proxy = await Proxy.open(Number(new URL(url).port));
  const workers = NAMES.map((name) =>
    startWorker(names.includes(name) ? proxy.url : url, ['--name', name]),
  );
  await Promise.all(
    NAMES.map((name) => coordinator.says(new RegExp(`${name} delivered its first shard`))),
  );
  const finish = async () => {
    for (const each of [coordinator, ...workers]) expect(await each.exited, each.output()).toBe(0);
    return readRun(join(runs, 'r'));
  };
  return { proxy, coordinator, finish };
}

/** Resolves when `frames` more frames have passed to the workers. */
async function hear({ proxy, coordinator }: Cluster, frames: number): Promise<void> {
  const enough = proxy.passed('down') + frames * FRAME_BYTES;
  await until(() => (proxy.passed('down') >= enough ? true : undefined), coordinator);
}

/** Disturbs the connections of these workers, and waits until all of them are late. */
async function untilLate(
  { coordinator }: Cluster,
  names: readonly string[],
  act: () => void,
): Promise<void> {
  const from = coordinator.output().length;
  act();
  await Promise.all(
    names.map((name) =>
      coordinator.says(new RegExp(`${name} is late; its work is reassigned`), from),
    ),
  );
}

function countOf({ events }: FinishedRun, name: string): number {
  return events.filter(({ event }) => event === name).length;
}

describe('a connection between a worker and the coordinator', () => {
  let undisturbed: FinishedRun;

  it('works undisturbed, for comparison', async () => {
    undisturbed = await train([...REFERENCE, ...COMMON, '--port', '0', '-n', '3']);
  });

  it.each<[Direction, readonly string[], number]>([
    ['up', NAMES, 10],
    ['down', ['w1'], 3],
  ])('may be cut repeatedly in mid-frame: %s, of %j', async (direction, names, times) => {
    const { proxy, coordinator, finish } = await trainThrough(names);
    // Not a whole number of frames or of any other message.
    proxy.cutAfter(direction, 12 * FRAME_BYTES + 4321);
    await until(() => (proxy.cuts >= times ? true : undefined), coordinator);
    proxy.release();
    const disturbed = await finish();
    expectSame(disturbed, undisturbed);
    expect(countOf(disturbed, 'lost')).toBeGreaterThanOrEqual(times);
  });

  it.each<[readonly Direction[], readonly string[]]>([
    [['up'], ['w1']],
    [['up', 'down'], NAMES],
  ])('may stall for a while: %j, of %j', async (directions, names) => {
    const cluster = await trainThrough(names);
    // The first leases last half a minute; once some results are known, leases follow the workers'
    // speed.
    await hear(cluster, 20);
    await untilLate(cluster, names, () => cluster.proxy.stall(...directions));
    cluster.proxy.release();
    const disturbed = await cluster.finish();
    expectSame(disturbed, undisturbed);
    expect(countOf(disturbed, 'lost')).toBe(0);
  });

  it('may be so slow that its worker is always late', async () => {
    const cluster = await trainThrough(['w1']);
    await hear(cluster, 20);
    await untilLate(cluster, ['w1'], () => cluster.proxy.slow(2 * FRAME_BYTES));
    cluster.proxy.release();
    expectSame(await cluster.finish(), undisturbed);
  });

  it('may be slow for all workers', async () => {
    const cluster = await trainThrough(NAMES);
    await hear(cluster, 20);
    cluster.proxy.slow(10 * FRAME_BYTES);
    await hear(cluster, 15);
    cluster.proxy.release();
    expectSame(await cluster.finish(), undisturbed);
  });

  it('may go silent in any direction without being closed', async () => {
    const {
      process: coordinator,
      url,
      runs,
    } = await startCoordinator([...COMMON, '--no-shared-memory', '--start-workers', '3']);
    const ways: readonly (readonly Direction[])[] = [['up'], ['down'], ['up', 'down']];
    const proxies = await Promise.all(ways.map(() => Proxy.open(Number(new URL(url).port))));
    const workers = proxies.map((proxy, i) => startWorker(proxy.url, ['--name', `w${i}`]));
    await Promise.all(
      NAMES.map((name) => coordinator.says(new RegExp(`${name} delivered its first shard`))),
    );
    proxies.forEach((proxy, i) => proxy.silence(...(ways[i] ?? [])));
    for (const each of [coordinator, ...workers]) expect(await each.exited, each.output()).toBe(0);
    const disturbed = readRun(join(runs, 'r'));
    expectSame(disturbed, undisturbed);
    expect(countOf(disturbed, 'lost')).toBe(3);
    // Each worker came back over a new connection.
    const joined = disturbed.events
      .filter(({ event }) => event === 'ready')
      .map(({ worker }) => worker);
    expect(joined.toSorted()).toEqual(NAMES.flatMap((name) => [name, name]));
    expect(readFileSync(join(runs, 'r', 'events.jsonl'), 'utf8')).toContain(
      '"event":"lease_again"',
    );
  });
});
