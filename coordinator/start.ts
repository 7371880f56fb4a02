import { randomBytes } from 'node:crypto';
import { systemClock as clock } from '../shared/clock.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset.ts';
import { assert, ClusterError, messageOf, type ErrorCode } from '../shared/errors.ts';
import { roomBytes } from '../shared/frame.ts';
import { EVALUATION_CHUNK_ROWS } from '../shared/limits.ts';
import { ARITHMETIC, PROTOCOL } from '../shared/messages.ts';
import { parameterCount } from '../shared/model.ts';
import { initialWeights } from '../shared/random.ts';
import type { RunDescription } from '../shared/run-description.ts';
import type { RunRecord } from '../shared/run-schema.ts';
import { totalSteps } from '../shared/schedule.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../shared/shared-memory.ts';
import { Driver } from './driver.ts';
import { Predictions } from './predictions.ts';
import { Recorder, type RunViewer } from './recorder.ts';
import { listen, type CoordinatorServer } from './server.ts';
import { openRun, resumedRecord, resumedState } from './open-run.ts';
import { initialState, type CheckpointInterval, type Outcome } from './state.ts';
import { Tensors } from './tensors.ts';

export interface RunSettings {
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly token: string;
  readonly version: string;
  readonly launch: RunRecord['launch'];
  readonly host: string;
  readonly port: number;
  readonly runsDir: string;
  readonly runId: string | undefined;
  /** The directory of the run that goes on; undefined begins a new one. */
  readonly resume: string | undefined;
  /** Go on although another host has the lock. */
  readonly takeOver: boolean;
  readonly checkpointEvery: CheckpointInterval;
  /** How many checkpoints stay. */
  readonly keep: number;
  readonly startWorkers: number;
  readonly minWorkers: number;
  readonly maxWorkers: number;
  readonly rendezvousMilliseconds: number;
  readonly allowMixedEngines: boolean;
  /** Offer workers on this host to exchange tensors through shared memory. */
  readonly sharedMemory: boolean;
}

export interface RunningCoordinator {
  readonly port: number;
  readonly directory: string;
  /** Ends the run in good order, after the open step. */
  stop(code: ErrorCode): void;
  /** Resolves when everything is written and everybody told; rejects on a defect or a full disk. */
  readonly done: Promise<{ readonly outcome: Outcome; readonly record: RunRecord }>;
}

/**
 * Opens the listener, then the run directory, and begins to gather workers. Rejects with ADDRESS, RUN_EXISTS, LOCKED, DATA, DISK
 * or LIMIT.
 */
export async function startCoordinator(
  settings: RunSettings,
  viewer: RunViewer,
): Promise<RunningCoordinator> {
  const { configuration, dataset, token, host, port } = settings;
  const bytes = 4 * parameterCount(configuration.model);
  const memory = settings.sharedMemory ? offerMemory(bytes, viewer) : undefined;
  const initial = initialWeights(configuration.seed, configuration.model);
  const tensors = new Tensors(configuration, initial, memory);
  const predictions = new Predictions(configuration.testSamples, configuration.model.classes);
  const frameBytes = roomBytes(
    4 * Math.max(tensors.parameters + 1, EVALUATION_CHUNK_ROWS * predictions.width),
  );
  let running: { readonly driver: Driver; readonly description: RunDescription } | undefined;
  const driverOf = () => {
    assert(running !== undefined, 'nobody connects before the run is described');
    return running.driver;
  };
  const server = await listen(
    {
      ...{ host, port, token, dataset, maxFrameBytes: frameBytes },
      description: () => running?.description,
      openMemory: (address) => reachMemory(address, bytes + 4, viewer),
    },
    {
      connected: (connection) => driverOf().connected(connection),
      message: (connection, message, tensor) => driverOf().message(connection, message, tensor),
      disconnected: (connection, reason) => driverOf().disconnected(connection, reason),
    },
  );
  try {
    const failures = new FirstFailure();
    const run = await openRun(settings, (error) => failures.add(error), viewer);
    const { store, term, checkpoint } = run;
    if (checkpoint !== undefined) tensors.restore(checkpoint);
    const recorder = new Recorder({
      ...{ ...settings, store, viewer, predictions, term, clock: clock.now },
      snapshot: () => tensors.snapshot(),
      onSuperseded: (error) => failures.add(error),
      resumed: resumedRecord(run, tensors.checksum),
    });
    const driver = new Driver({
      state: initialState(
        reducerSettings(settings, store.id, term),
        clock.now(),
        resumedState(run, configuration),
      ),
      ...{ tensors, predictions, observer: recorder, clock },
      newSession: () => randomBytes(16).toString('hex'),
    });
    failures.listen((error) => driver.fail(error));
    // The term is on the disk before anybody can hear of it.
    await store.writeRun(recorder.record(driver.state, undefined));
    store.event('start', { term, step: driver.state.step });
    running = { driver, description: describe(settings, store.id, frameBytes, memory) };
    driver.start();
    return {
      port: server.port,
      directory: store.path,
      stop: (code) => driver.stop(code),
      done: finish(driver, recorder, tensors, server),
    };
  } catch (error) {
    await server.close();
    throw error;
  }
}

async function finish(driver: Driver, recorder: Recorder, tensors: Tensors, server: CoordinatorServer) {
  try {
    const outcome = await driver.outcome;
    // Workers are told first; they need not wait for the disk.
    driver.shutDown(outcome);
    const record = await recorder.finish(driver.state, outcome, tensors.weights());
    return { outcome, record };
  } finally {
    driver.shutDown({ state: 'failed', code: 'RUN_FAILED', message: 'the coordinator failed' });
    await server.close();
  }
}

/** Without it tensors travel in frames, which always works. */
function offerMemory(bytes: number, viewer: RunViewer): SharedMemory | undefined {
  try {
    return new SharedMemory(bytes);
  } catch (error) {
    viewer.log('debug', `no shared memory: ${messageOf(error)}`, {});
    return undefined;
  }
}

function reachMemory(address: MemoryAddress, bytes: number, viewer: RunViewer): PeerMemory | undefined {
  try {
    const memory = new PeerMemory(address, bytes);
    viewer.log('debug', `tensors of process ${address.process} travel through shared memory`, {});
    return memory;
  } catch (error) {
    viewer.log('debug', `a worker's shared memory is out of reach: ${messageOf(error)}`, {});
    return undefined;
  }
}

/** A file may fail before anybody can be told. */
class FirstFailure {
  #error: ClusterError | undefined;
  #listener: ((error: ClusterError) => void) | undefined;

  add(error: ClusterError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.#listener?.(error);
  }

  listen(listener: (error: ClusterError) => void): void {
    this.#listener = listener;
    if (this.#error !== undefined) listener(this.#error);
  }
}

function reducerSettings(settings: RunSettings, run: string, term: number) {
  const { checkpointEvery } = settings;
  const { configuration, startWorkers, minWorkers, maxWorkers, rendezvousMilliseconds, allowMixedEngines } =
    settings;
  return {
    run,
    term,
    checkpointEvery,
    configuration,
    totalSteps: totalSteps(configuration),
    startWorkers,
    minWorkers,
    maxWorkers,
    rendezvousMilliseconds,
    allowMixedEngines,
  };
}

function describe(
  { configuration, dataset, version }: RunSettings,
  run: string,
  frameBytes: number,
  memory: SharedMemory | undefined,
): RunDescription {
  return {
    ...{ protocol: PROTOCOL, arithmetic: ARITHMETIC, version, run, configuration },
    ...{ frame_bytes: frameBytes, data_bytes: dataset.bytes.length, class_names: [...dataset.classNames] },
    ...(memory === undefined ? {} : { memory: memory.address }),
  };
}
