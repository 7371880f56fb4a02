import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseJoin } from '../../../cli/secrets/join.ts';
import { errorTable } from '../../../shared/errors.ts';
import { readModel } from '../../../shared/files/model-file.ts';
import { initialWeights } from '../../../shared/arithmetic/random.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, until, type Started } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { Capture, type Stream } from './capture.ts';
import { listenersOf } from './listeners.ts';
import { missing, Network, why, type Host } from './network.ts';
import { checkTls, windowsIn, windowsOf, wordsIn } from './search.ts';

const PORT = 29_400;
const PAGE_PORT = 9_464;
const RUN = 'a-run-that-is-looked-for';

interface Cluster {
  readonly coordinator: Started;
  readonly directory: string;
  readonly join: string;
  /** Waits until all processes have ended, and reads the run's files. */
  finish(): Promise<FinishedRun>;
}

/** Makes a certificate for this host. Resolves with the coordinator options that use it. */
async function certificateFor({ address }: Host): Promise<string[]> {
  const folder = temporaryFolder();
  const made = await run(['certs', address, '--out', folder]);
  expect(made, made.output).toMatchObject({ code: 0 });
  return [
    '--ssl-certfile',
    join(folder, 'coordinator.crt'),
    '--ssl-keyfile',
    join(folder, 'coordinator.key'),
  ];
}

/**
 * Starts a coordinator on all addresses of its host. Resolves once it prints the line with which
 * other machines join.
 */
async function startCoordinator(
  host: Host,
  args: readonly string[],
): Promise<{ coordinator: Started; directory: string; join: string }> {
  const runs = temporaryFolder();
  // All hosts here share one file system and its shared memory, unlike real hosts.
  const options = ['--host', '0.0.0.0', '--no-shared-memory', '--no-pictures', '--no-http'];
  const coordinator = host.start([
    'coordinator',
    '--runs-dir',
    runs,
    '--run-id',
    RUN,
    ...options,
    ...args,
  ]);
  const [, joinFile = ''] = await coordinator.says(/--join - (?:--insecure )?< (\S+)/);
  return { coordinator, directory: join(runs, RUN), join: readFileSync(joinFile, 'utf8') };
}

/**
 * Starts a worker on each of these hosts, named after the host. Each worker reads the pasted line
 * from its standard input.
 */
async function startCluster(
  host: Host,
  others: readonly Host[],
  args: readonly string[],
): Promise<Cluster> {
  const wanted = ['--start-workers', `${others.length}`];
  const started = await startCoordinator(host, [...wanted, ...args]);
  const { coordinator, directory, join: pasted } = started;
  const insecure = args.filter((each) => each === '--insecure');
  const workers = others.map((other) =>
    other.start(['worker', ...REFERENCE, '--name', other.name, '--join', '-', ...insecure], pasted),
  );
  const finish = async () => {
    const endsWell = async (each: Started) => expect(await each.exited, each.output()).toBe(0);
    await Promise.all([coordinator, ...workers].map(endsWell));
    return readRun(directory);
  };
  return { ...started, finish };
}

/** The events of this worker so far in events.jsonl: `ready`, `lost` and so on. */
function eventsOf({ directory }: Cluster, name: string): unknown[] {
  return readFileSync(join(directory, 'events.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line): Record<string, unknown> => JSON.parse(line))
    .filter(({ worker }) => worker === name)
    .map(({ event }) => event);
}

/** Resolves when events.jsonl has this event for the worker. */
async function happens(cluster: Cluster, name: string, event: string): Promise<void> {
  await until(
    () => (eventsOf(cluster, name).includes(event) ? true : undefined),
    cluster.coordinator,
  );
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

// Otherwise, only a JSON report would contain the reason.
if (missing !== undefined) console.warn(`several hosts are not tested${why}`);

describe.skipIf(missing !== undefined)(`several hosts${why}`, () => {
  describe('joined by two pastes', () => {
    const COMMON = [...QUICK_RECIPE, '--steps', '20'];
    let undisturbed: FinishedRun;

    /**
     * Trains with two workers. Resolves with the traffic on the first worker's link, and with the
     * content that this traffic must not reveal.
     */
    async function trainWatched(args: (host: Host) => string[] | Promise<string[]>): Promise<{
      readonly finished: FinishedRun;
      readonly streams: readonly Stream[];
      readonly words: string[];
      readonly token: string;
      readonly windows: ReadonlySet<string>;
    }> {
      const network = await Network.open('c', 'watched-worker', 'other-worker');
      const c = network.host('c');
      const [watched, other] = [network.host('watched-worker'), network.host('other-worker')];
      const capture = await Capture.start(watched);
      const cluster = await startCluster(c, [watched, other], [...COMMON, ...(await args(c))]);
      expect(listenersOf(c.pid)).toEqual([`0.0.0.0:${PORT}`]);
      const finished = await cluster.finish();
      const { configuration, weights } = readModel(
        readFileSync(join(cluster.directory, 'model.safetensors')),
        'model.safetensors',
      );
      const first = initialWeights(configuration.seed, configuration.model);
      const { token, coordinator } = parseJoin(cluster.join);
      expect(new URL(coordinator).host).toBe(`${c.address}:${PORT}`);
      return {
        finished,
        streams: await capture.streams(),
        words: [watched.name, RUN],
        token,
        windows: windowsOf(bytesOf(first), bytesOf(weights)),
      };
    }

    it('train a run on one machine for comparison', async () => {
      undisturbed = await train([...REFERENCE, ...COMMON, '--no-http', '-n', '2']);
    });

    it('train to the same bytes over TLS, and a traffic capture reveals nothing', async () => {
      const { finished, streams, words, token, windows } = await trainWatched(certificateFor);
      expectSame(finished, undisturbed);
      streams.forEach(checkTls);
      expect(wordsIn(streams, [token, ...words])).toEqual([]);
      expect(windowsIn(streams, windows).size).toBe(0);
    });

    it('train to the same bytes without TLS, and a capture reveals all but the token', async () => {
      const { finished, streams, words, token, windows } = await trainWatched(({ address }) => [
        '--insecure',
        '--advertise',
        address,
      ]);
      expectSame(finished, undisturbed);
      for (const stream of streams) expect(() => checkTls(stream)).toThrow('not a TLS record');
      expect(wordsIn(streams, [token, ...words])).toEqual(words);
      expect(windowsIn(streams, windows).size).toBe(windows.size);
    });
  });

  it('train to the same bytes over a slow, a lossy and a broken link', async () => {
    // A frame has 50 KB: while one host is disconnected, a coordinator that sends 20 Mbit/s
    // completes at most 50 steps a second.
    const common = [...QUICK_RECIPE, '--hidden', '16', '--steps', '1500'];
    const alone = train([...REFERENCE, ...common, '--no-http', '-n', '2']);
    const network = await Network.open('c', 'w0', 'w1', 'w2');
    const c = network.host('c');
    const workers = ['w0', 'w1', 'w2'].map((name) => network.host(name));
    const [broken, lossy] = [network.host('w0'), network.host('w1')];
    c.limit('20mbit');
    lossy.lose(1);
    // The run waits for a lost host, so that the host comes back before the end.
    const cluster = await startCluster(c, workers, [
      ...common,
      '--min-workers',
      '3',
      ...(await certificateFor(c)),
    ]);
    for (const { name } of workers) await happens(cluster, name, 'first_shard');
    broken.unplug();
    await happens(cluster, 'w0', 'lease_again');
    // metrics.jsonl is at most a second behind, which is fifty steps.
    const written = stepsWritten(cluster.directory);
    await until(
      () => (stepsWritten(cluster.directory) > written + 100 ? true : undefined),
      cluster.coordinator,
    );
    await happens(cluster, 'w0', 'lost');
    broken.plug();
    await until(() => {
      const isBack = eventsOf(cluster, 'w0').filter((event) => event === 'ready').length > 1;
      return isBack ? true : undefined;
    }, cluster.coordinator);
    expect(c.unlimit()).toBeGreaterThan(0);
    expectSame(await cluster.finish(), await alone);
    expect(Math.min(...lossy.lost())).toBeGreaterThan(0);
  });

  it('reach no port of a `local` run, and one port of a coordinator on all addresses', async () => {
    const { scripts } = JSON.parse(
      readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
    );
    expect(scripts.start).toBe('node bin/mnist-dist.mjs local');
    const network = await Network.open('alone', 'c');
    const [alone, c] = [network.host('alone'), network.host('c')];
    expect(listenersOf(alone.pid)).toEqual([]);
    const quick = [...QUICK_RECIPE, ...REFERENCE, '--epochs', '1000'];
    const local = alone.start(['local', '--runs-dir', temporaryFolder(), ...quick]);
    await local.says(/delivered its first shard/);
    expect(listenersOf(alone.pid)).toEqual([`127.0.0.1:${PORT}`, `127.0.0.1:${PAGE_PORT}`]);
    expect(await c.openPorts(alone.address)).toEqual([]);
    await startCoordinator(c, ['--insecure']);
    expect(await alone.openPorts(c.address)).toEqual([PORT]);
    local.process.kill('SIGTERM');
    expect(await local.exited, local.output()).toBe(errorTable.TERMINATED.exit);
  });

  it.each<[string, readonly string[], (host: Host) => void, RegExp]>([
    [
      'a firewall drops packets',
      [],
      (host) => host.drop(PORT),
      /open port 29400 in the firewall of 10\.77\.0\.1/,
    ],
    [
      'the address is known only behind a NAT',
      ['--advertise', '192.0.2.1'],
      () => undefined,
      /firewall of 192\.0\.2\.1, or dial .*\(see the coordinator's --advertise\)/,
    ],
    [
      "the coordinator's host is off",
      [],
      (host) => host.unplug(),
      /open port 29400 in the firewall of 10\.77\.0\.1/,
    ],
  ])('get an error that says what to do when %s', async (_when, options, change, fix) => {
    const network = await Network.open('c', 'a');
    const [c, a] = [network.host('c'), network.host('a')];
    const { join: pasted } = await startCoordinator(c, [...(await certificateFor(c)), ...options]);
    change(c);
    const worker = a.start(['worker', ...REFERENCE, '--join', '-', '--max-retries', '0'], pasted);
    expect(await worker.exited, worker.output()).toBe(errorTable.UNREACHABLE.exit);
    expect(worker.output()).toMatch(fix);
  });
});
