import { expect, it, onTestFinished } from 'vitest';
import { Reception } from '../../coordinator/reception.ts';
import { frameBytesOf } from '../../coordinator/serve.ts';
import { startCoordinator } from '../../coordinator/start-coordinator.ts';
import { silentViewer } from '../../coordinator/viewer.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { errorTable } from '../../shared/errors.ts';
import { MAX_SMALL_MESSAGES } from '../../shared/limits.ts';
import type { Computation } from '../../worker/computation.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { Attacker } from './attacker.ts';
import { engine, hello, tensorFrame } from './frames.ts';
import { PATIENCE_MILLISECONDS, startHonest, TOKEN, until } from './honest.ts';
import { computationOf, configurationOf, dataset } from './target.ts';

const STEPS = 40;
const configuration = { ...configurationOf(), steps: STEPS };
const FLOATS = parameterCount(configuration.model) + 1;

async function openReception(): Promise<Reception> {
  const reception = await Reception.open({
    host: '127.0.0.1',
    port: 0,
    token: TOKEN,
    version: '0',
    warn: () => undefined,
    frameBytes: frameBytesOf(configuration),
  });
  onTestFinished(async () => await reception.close());
  return reception;
}

/** Starts a run with this id; `log` collects what it says. */
async function begin(reception: Reception, runId: string, runsDir: string, log: string[] = []) {
  return await startCoordinator(
    {
      configuration: { ...configuration, seed: runId.length },
      dataset,
      token: TOKEN,
      version: '0',
      host: '127.0.0.1',
      port: 0,
      reception,
      launch: {},
      runsDir,
      runId,
      startWorkers: 1,
      minWorkers: 1,
      maxWorkers: 256,
      resume: undefined,
      takeOver: false,
      checkpointEvery: { milliseconds: 10_000 },
      keepCheckpoints: 2,
      audit: undefined,
      rendezvousMilliseconds: PATIENCE_MILLISECONDS,
      allowMixedEngines: false,
      sharedMemory: true,
      spin: 'auto',
    },
    { ...silentViewer, log: (_level, message) => log.push(message) },
  );
}

/** Starts a worker, and returns how often it prepared. */
function startWorker({ port }: Reception): () => number {
  let times = 0;
  const prepare = async (): Promise<Computation> => {
    times += 1;
    return await computationOf({ ...configuration, seed: times });
  };
  startHonest(port, 'honest', prepare, onTestFinished);
  return () => times;
}

function gradient(run: string, step: number): Buffer {
  const fence = { run, term: 1, step, part: 1, correct: 0, microseconds: 1 };
  return tensorFrame({ kind: 'gradient', ...fence }, new Float32Array(FLOATS).fill(1));
}

/** A worker of the run r that gets no work, since it says that it is preparing. */
async function idler({ port }: Reception): Promise<Attacker> {
  return await Attacker.join(port);
}

it('workers stay connected from one run to the next, whose bytes do not depend on it', async () => {
  const reception = await openReception();
  const folder = temporaryFolder();
  const first = await begin(reception, 'r', folder);
  const preparations = startWorker(reception);
  await first.done;
  const log: string[] = [];
  const second = await begin(reception, 'ss', folder, log);
  const { record } = await second.done;
  expect(record.state).toBe('finished');
  expect(log).toContain('honest connected');
  expect(preparations()).toBe(2);

  const alone = await openReception();
  const other = await begin(alone, 'ss', temporaryFolder());
  startHonest(
    alone.port,
    'alone',
    await computationOf({ ...configuration, seed: 2 }),
    onTestFinished,
  );
  expect((await other.done).record.chain).toBe(record.chain);
});

it('nothing counts in the next run that a worker sends before its hello for it', async () => {
  const reception = await openReception();
  const folder = temporaryFolder();
  const first = await begin(reception, 'r', folder);
  const attacker = await idler(reception);
  startWorker(reception);
  await first.done;
  // There is no run at the moment.
  attacker.send(gradient('ss', 1));
  attacker.say({ ...hello, run: 'ss' });
  attacker.say(hello);
  const second = await begin(reception, 'ss', folder);
  await attacker.hears(({ message }) => (message.kind === 'next' ? message : undefined));
  const heardBefore = attacker.received.length;
  for (const run of ['r', 'ss']) attacker.send(gradient(run, 1));
  attacker.say(hello);
  attacker.say({ ...hello, run: 'r' });
  attacker.say({ kind: 'ready', fingerprint: '0'.repeat(64), engine });
  const { record } = await second.done;
  expect(record.state).toBe('finished');
  expect(record.workers.map(({ name }) => name)).toEqual(['honest']);
  const since = attacker.received.slice(heardBefore).map(({ message }) => message.kind);
  expect(since.filter((kind) => kind !== 'heartbeat')).toEqual([]);
  expect(attacker.isGone).toBe(false);
});

it('a worker joins the next run with a hello that names it', async () => {
  const reception = await openReception();
  const folder = temporaryFolder();
  const first = await begin(reception, 'r', folder);
  const attacker = await idler(reception);
  startWorker(reception);
  await first.done;
  const second = await begin(reception, 'ss', folder);
  await attacker.hears(({ message }) => (message.kind === 'next' ? message : undefined));
  attacker.say({ ...hello, run: 'ss' });
  const welcome = await attacker.hears(({ message }) =>
    message.kind === 'welcome' && message.run === 'ss' ? message : undefined,
  );
  expect(welcome.term).toBe(1);
  // From here on, all rules hold again.
  attacker.say({ ...hello, run: 'ss' });
  expect((await attacker.ended).close).toBe(errorTable.PROTOCOL.close);
  await second.done;
});

it.each(['between two runs', 'before its hello'])(
  'a worker that sends too much %s is disconnected',
  async (when) => {
    const reception = await openReception();
    const folder = temporaryFolder();
    const first = await begin(reception, 'r', folder);
    const attacker = await idler(reception);
    startWorker(reception);
    await first.done;
    const second = when === 'before its hello' ? await begin(reception, 'ss', folder) : undefined;
    for (let i = 0; i < 2 * MAX_SMALL_MESSAGES; i++) attacker.send(gradient('r', 1));
    expect((await attacker.ended).close).toBe(errorTable.LIMIT.close);
    const next = second ?? (await begin(reception, 'ss', folder));
    expect((await next.done).record.state).toBe('finished');
  },
);

it('a worker leaves between two runs, with a bye or without', async () => {
  const reception = await openReception();
  const folder = temporaryFolder();
  const first = await begin(reception, 'r', folder);
  const [polite, rude] = [await idler(reception), await idler(reception)];
  startWorker(reception);
  await first.done;
  polite.say({ kind: 'bye', code: 'TERMINATED', message: 'so long' });
  expect((await polite.ended).close).toBe(errorTable.TERMINATED.close);
  rude.vanish();
  await until(
    () => rude.isGone,
    () => 'it is still there',
  );
  const { record } = await (await begin(reception, 'ss', folder)).done;
  expect(record.state).toBe('finished');
});
