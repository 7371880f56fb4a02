import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import type { StepReport } from '../../coordinator/recorder.ts';
import { startCoordinator } from '../../coordinator/start.ts';
import { defaultVirtualShards, type Configuration } from '../../shared/configuration.ts';
import { parseDataset, type Dataset } from '../../shared/dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import { parameterCount } from '../../shared/model.ts';
import { Client } from '../../worker/client.ts';
import { Computation } from '../../worker/computation.ts';
import { readRun, temporaryFolder, type FinishedRun } from '../process/cluster.ts';
import { concatenate, imagesFile, labelsFile } from '../shared/idx-files.ts';

export const TOKEN = 'a-token-of-the-tests-0123456789';
const INPUTS = 4;
/** So many that no epoch ends while a test lasts. */
const TRAIN_SAMPLES = 200_000;
const TEST_SAMPLES = 20;
/** What the honest worker's bytes take each way: training goes on, and leaves the processor to the attack. */
const DELAY_MILLISECONDS = 2;
/** A guard against waiting for what never happens. */
export const PATIENCE_MILLISECONDS = 60_000;

const bytes = concatenate([
  imagesFile(TRAIN_SAMPLES, 2, 2, (i) => (i * 7919) % 256),
  labelsFile(Array.from({ length: TRAIN_SAMPLES }, (_, i) => (i * 31) % 10)),
  imagesFile(TEST_SAMPLES, 2, 2),
  labelsFile(Array.from({ length: TEST_SAMPLES }, (_, i) => i % 10)),
]);
const dataset: Dataset = parseDataset(new Uint8Array(bytes));

export function configurationOf(virtualShards = defaultVirtualShards(16)): Configuration {
  return {
    ...{ dataset: dataset.digest, model: { inputs: INPUTS, hidden: [8], classes: 10 }, dropout: 0.2 },
    ...{
      batchSize: 16,
      virtualShards,
      learningRate: 0.001,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-7,
      seed: 1,
    },
    ...{ epochs: 1, steps: 1_000_000, trainSamples: TRAIN_SAMPLES, testSamples: TEST_SAMPLES },
  };
}

/** A coordinator whose honest worker trains for as long as the test wants. */
export interface Target {
  readonly port: number;
  readonly configuration: Configuration;
  /** What a worker of the run computes, so that an attacker can be let in. */
  readonly fingerprint: string;
  /** Gradients and loss: floats of a result. */
  readonly floats: number;
  /** The last step that is done. */
  step(): number;
  /** Resolves when so many more steps are done. */
  advances(steps: number): Promise<void>;
  /** Ends the run and reads what it left behind. */
  finish(): Promise<FinishedRun>;
}

export async function startTarget(configuration = configurationOf()): Promise<Target> {
  const reports: StepReport[] = [];
  const log: string[] = [];
  const run = await launch(
    configuration,
    (report) => reports.push(report),
    (line) => log.push(line),
  );
  const computation = await Computation.create(configuration, dataset, reference);
  const step = () => reports.at(-1)?.step ?? 0;
  const advances = async (steps: number) => {
    const goal = step() + steps;
    await until(
      () => step() >= goal,
      () => `no step after ${step()}:\n${log.slice(-20).join('\n')}`,
    );
  };
  startHonest(await slowPath(run.port), 'honest', computation);
  await advances(5);
  let finished: Promise<FinishedRun> | undefined;
  const end = async () => {
    run.stop('INTERRUPTED');
    await run.done;
    return readRun(run.directory);
  };
  const finish = () => (finished ??= end());
  onTestFinished(async () => void (await finish()));
  return {
    port: run.port,
    configuration,
    fingerprint: computation.fingerprint,
    floats: parameterCount(configuration.model) + 1,
    step,
    advances,
    finish,
  };
}

/** The chain after so many steps of a run that nobody attacks. */
async function undisturbedChain(configuration: Configuration, steps: number): Promise<string> {
  const run = await launch(
    { ...configuration, steps },
    () => undefined,
    () => undefined,
  );
  startHonest(run.port, 'alone', await Computation.create(configuration, dataset, reference));
  const { record } = await run.done;
  return record.chain;
}

/** Another worker's engine, for an attacker who computes. */
export function computationOf({ configuration }: Target): Promise<Computation> {
  return Computation.create(configuration, dataset, reference);
}

const reference = { kind: 'reference', threads: 1, device: 'cpu' } as const;

function launch(
  configuration: Configuration,
  step: (report: StepReport) => void,
  log: (line: string) => void,
) {
  return startCoordinator(
    {
      ...{ configuration, dataset, token: TOKEN, version: '0', host: '127.0.0.1', port: 0 },
      ...{
        launch: {},
        runsDir: temporaryFolder(),
        runId: 'r',
        startWorkers: 1,
        minWorkers: 1,
        maxWorkers: 256,
      },
      ...{ rendezvousMilliseconds: PATIENCE_MILLISECONDS, allowMixedEngines: false, sharedMemory: true },
    },
    {
      step,
      evaluation: () => undefined,
      log: (_level, message) => log(message),
      started: () => undefined,
    },
  );
}

/** A worker of the real code; resolves when it is over for it. */
export function startHonest(
  port: number,
  name: string,
  computation: Computation,
): { done: Promise<unknown>; connected: Promise<void> } {
  const stopping = new AbortController();
  let connect: () => void = () => undefined;
  const connected = new Promise<void>((resolve) => (connect = resolve));
  const client = new Client({
    dial: {
      ...{ coordinator: new URL(`ws://127.0.0.1:${port}`), token: () => TOKEN, signal: stopping.signal },
      ...{ maxModelBytes: 1e6, maxDataBytes: 1e8 },
    },
    settings: {
      ...{ name, version: '0', maxRetries: Infinity, maxWaitMilliseconds: PATIENCE_MILLISECONDS },
      prepareLimitMilliseconds: PATIENCE_MILLISECONDS,
    },
    prepare: async () => computation,
    log: (_level, message) => {
      if (message.startsWith('connected')) connect();
    },
    random: Math.random,
    clock: () => performance.now(),
  });
  // Why it ends is the coordinator's business; what it did is in the run's files.
  const done = client.done.catch((error: unknown) => error);
  onTestFinished(async () => {
    client.leave(new ClusterError('TERMINATED', 'the test is over'));
    stopping.abort();
    await done;
  });
  client.start();
  return { done, connected };
}

/** A port that leads to another one, a little later. */
async function slowPath(port: number): Promise<number> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1').setNoDelay();
    near.setNoDelay();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk) => setTimeout(() => to.write(chunk), DELAY_MILLISECONDS));
      from.on('error', () => to.destroy());
      from.on('close', () => setTimeout(() => to.destroy(), DELAY_MILLISECONDS));
    }
  });
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Training went on, goes on, and every link of its chain is that of a run nobody attacked. */
export async function expectUnharmed(target: Target): Promise<void> {
  await target.advances(5);
  const { record } = await target.finish();
  expect(record.state).toBe('interrupted');
  expect(record.chain).toBe(await undisturbedChain(target.configuration, record.step));
}

/** Looks until it is so. */
export async function until(isSo: () => boolean, orElse: () => string): Promise<void> {
  const end = performance.now() + PATIENCE_MILLISECONDS;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(orElse());
    await sleep(5);
  }
}
