import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { silentViewer, type RunViewer, type StepReport } from '../../coordinator/viewer.ts';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/start-coordinator.ts';
import type { Audit } from '../../coordinator/decisions/state.ts';
import { type Configuration } from '../../shared/configuration.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { parseDataset, type Dataset } from '../../shared/dataset/dataset.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import { denseModel, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import type { MemoryAddon } from '../../shared/wire/memory-addon.ts';
import { Computation } from '../../worker/computation.ts';
import { concatenate, imagesFile, labelsFile } from '../fixtures/dataset/idx-files.ts';
import {
  PATIENCE_MILLISECONDS,
  slowPath,
  startHonest,
  TOKEN,
  until,
  type Later,
} from './honest.ts';

const INPUTS = 4;
/** Enough that no epoch ends during a test. */
const TRAIN_SAMPLES = 200_000;
const TEST_SAMPLES = 20;

const bytes = concatenate([
  imagesFile(TRAIN_SAMPLES, 2, 2, (i) => (i * 7919) % 256),
  labelsFile(Array.from({ length: TRAIN_SAMPLES }, (_, i) => (i * 31) % 10)),
  imagesFile(TEST_SAMPLES, 2, 2),
  labelsFile(Array.from({ length: TEST_SAMPLES }, (_, i) => i % 10)),
]);
export const dataset: Dataset = parseDataset(new Uint8Array(bytes));
export const reference = { kind: 'reference', threads: 1, device: 'cpu' } as const;

export function configurationOf(virtualShards = defaultVirtualShards(16)): Configuration {
  return {
    dataset: dataset.digest,
    model: denseModel([1, INPUTS], [8], 0, 10),
    batchSize: 16,
    virtualShards,
    optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    learningRate: 0.001,
    schedule: { kind: 'constant' },
    warmup: 0,
    weightDecay: 0,
    seed: 1,
    epochs: 1,
    steps: 1_000_000,
    trainSamples: TRAIN_SAMPLES,
    testSamples: TEST_SAMPLES,
  };
}

/** A coordinator whose honest worker trains for as long as the test needs. */
export interface Target {
  readonly port: number;
  readonly configuration: Configuration;
  /** The fingerprint of the run's workers. An attacker that sends it is admitted. */
  readonly fingerprint: string;
  /** Floats in a result: the gradients and the loss. */
  readonly floats: number;
  readonly later: Later;
  /** GPU reports that were passed on, oldest first. */
  readonly devices: readonly { readonly worker: string; readonly gpus: readonly GpuReading[] }[];
  /** The last step that has been completed. */
  step(): number;
  /** Number of connections on which a worker with this name has delivered results. */
  deliveries(name: string): number;
  /** Resolves when `steps` more steps have been completed. */
  advances(steps: number): Promise<void>;
  /** Starts another honest worker; resolves once it has delivered a result. */
  joinedBy(name: string): Promise<void>;
  /** Ends the run. */
  finish(): Promise<RunRecord>;
}

/** How the run treats its workers. */
interface Ways {
  readonly audit?: Audit;
  readonly sharedMemory?: boolean;
  readonly memoryAddon?: MemoryAddon;
}

export async function startTarget(
  configuration = configurationOf(),
  later: Later = onTestFinished,
  ways: Ways = {},
): Promise<Target> {
  let step = 0;
  // Only the last lines are kept: the measured memory should be the coordinator's, not this log's.
  const log: string[] = [];
  const delivered = new Map<string, number>();
  const deliveries = (name: string) => delivered.get(name) ?? 0;
  const devices: Target['devices'][number][] = [];
  const viewer = {
    step: (report: StepReport) => void (step = report.step),
    devices: (worker: string, gpus: readonly GpuReading[]) => remember(devices, { worker, gpus }),
    log: (_level: string, message: string) => {
      remember(log, message);
      const name = /^(.*) delivered its first shard$/.exec(message)?.[1];
      if (name !== undefined) delivered.set(name, deliveries(name) + 1);
    },
  };
  const run = await launch(configuration, later, viewer, ways);
  const computation = await computationOf(configuration);
  const advances = async (steps: number) => {
    const goal = step + steps;
    const orElse = () => `no step after ${step}:\n${log.join('\n')}`;
    await until(() => step >= goal, orElse);
  };
  startHonest(await slowPath(run.port, later), 'honest', computation, later);
  await advances(5);
  const joinedBy = async (name: string) => {
    startHonest(await slowPath(run.port, later), name, await computationOf(configuration), later);
    await until(
      () => deliveries(name) > 0,
      () => `${name} did not join`,
    );
  };
  let ended: Promise<RunRecord> | undefined;
  const finish = () => (ended ??= end(run));
  later(async () => void (await finish()));
  const { fingerprint } = computation;
  const floats = parameterCount(configuration.model) + 1;
  return {
    port: run.port,
    configuration,
    fingerprint,
    floats,
    later,
    devices,
    step: () => step,
    deliveries,
    advances,
    joinedBy,
    finish,
  };
}

/**
 * Expects that training still makes progress, and that its chain equals that of a run without
 * attacks.
 */
export async function expectUnharmed(target: Target): Promise<void> {
  await target.advances(5);
  const { state, step, chain } = await target.finish();
  expect(state).toBe('interrupted');
  expect(chain).toBe(await undisturbedChain(target, step));
}

export function computationOf(configuration: Configuration): Promise<Computation> {
  return Computation.create(configuration, dataset, reference);
}

async function end(run: RunningCoordinator): Promise<RunRecord> {
  run.stop('INTERRUPTED');
  return (await run.done).record;
}

/** The chain after `steps` steps of a run without attacks. */
async function undisturbedChain({ configuration, later }: Target, steps: number): Promise<string> {
  const run = await launch({ ...configuration, steps }, later, {});
  startHonest(run.port, 'alone', await computationOf(configuration), later);
  const { record } = await run.done;
  return record.chain;
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > 20) list.shift();
}

function launch(
  configuration: Configuration,
  later: Later,
  viewer: Partial<RunViewer>,
  { audit, sharedMemory = true, memoryAddon }: Ways = {},
) {
  const runsDir = mkdtempSync(join(tmpdir(), 'mnist-dist-test-'));
  later(() => rmSync(runsDir, { recursive: true, force: true }));
  return startCoordinator(
    {
      configuration,
      dataset,
      token: TOKEN,
      version: '0',
      host: '127.0.0.1',
      port: 0,
      launch: {},
      runsDir,
      runId: 'r',
      startWorkers: 1,
      minWorkers: 1,
      maxWorkers: 256,
      resume: undefined,
      takeOver: false,
      checkpointEvery: { milliseconds: 10_000 },
      keepCheckpoints: 2,
      audit,
      rendezvousMilliseconds: PATIENCE_MILLISECONDS,
      allowMixedEngines: false,
      sharedMemory,
      spin: 'auto',
      memoryAddon,
    },
    { ...silentViewer, ...viewer },
  );
}
