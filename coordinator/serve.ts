import { randomBytes } from 'node:crypto';
import { systemClock, type Clock } from '../shared/clock.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset/dataset.ts';
import { assert, ClusterError, messageOf, type ErrorCode } from '../shared/errors.ts';
import { frameCapacity } from '../shared/wire/frame.ts';
import { MAX_WORKERS } from '../shared/limits.ts';
import { checkCoordinatorMemory } from '../shared/memory-needs.ts';
import { PROTOCOL } from '../shared/wire/messages.ts';
import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../shared/arithmetic/random.ts';
import type { MemoryAddon } from '../shared/wire/memory-addon.ts';
import { Rendezvous, type Spin } from '../shared/wire/rendezvous.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import { totalSteps } from '../shared/arithmetic/schedule.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../shared/wire/shared-memory.ts';
import { Driver, type RunObserver } from './driver.ts';
import type { ServerTls } from './network/http-server.ts';
import type { Inspection } from './inspection.ts';
import { chunkFloatsOf, Predictions } from './predictions.ts';
import type { RunViewer } from './viewer.ts';
import { Reception } from './reception.ts';
import type { Outcome } from './decisions/effects.ts';
import {
  initialState,
  type EvaluationSteps,
  type Resumed,
  type RunPolicy,
  type RunState,
} from './decisions/state.ts';
import { Tensors } from './tensors.ts';
import type { StepTrace } from './trace/step-trace.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';

export interface ServeSettings extends RunPolicy {
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly token: string;
  readonly tls?: ServerTls | undefined;
  readonly version: string;
  readonly host: string;
  readonly port: number;
  /** The file descriptor of a listening socket. */
  readonly descriptor?: number | undefined;
  /** As in `ServerOptions`. */
  readonly listening?: ((port: number) => () => void) | undefined;
  /** Whether to offer workers on this host shared memory for exchanging tensors. */
  readonly sharedMemory: boolean;
  /** How long waits for workers on this host may spin. */
  readonly spin: Spin;
  /** Maps shared memory, so that it also carries messages. */
  readonly memoryAddon?: MemoryAddon | undefined;
  /**
   * Where workers of earlier runs wait; it stays open when the run is over. Without it, the run has
   * its own, with the settings above.
   */
  readonly reception?: Reception | undefined;
  /** Records when what happens in some steps. */
  readonly trace?: StepTrace | undefined;
  /** As in the reducers' `Settings`. */
  readonly evaluateAfter?: EvaluationSteps | undefined;
}

/**
 * The policy for a computation that writes nothing: any worker with the same fingerprint may join.
 */
export const readOnlyPolicy = {
  sharedMemory: true,
  spin: 'auto',
  minWorkers: 1,
  maxWorkers: MAX_WORKERS,
  allowMixedEngines: false,
  checkpointEvery: { steps: Infinity },
  audit: undefined,
} as const;

/** The tensors, predictions and clock of a run, for its recorder. */
export interface RunContext {
  readonly tensors: Tensors;
  readonly predictions: Predictions;
  readonly clock: Clock;
  /** Fails the run immediately because something outside the reducers failed. */
  readonly fail: (error: ClusterError) => void;
}

/**
 * Determines where a run starts, and observes the run. For training, recorder.ts implements this.
 */
export interface RunRecorder extends RunObserver {
  readonly run: string;
  readonly term: number;
  /** Where the run resumes; undefined for a new run. */
  readonly resumed: Resumed | undefined;
  /** Called before a worker can connect. */
  opened(state: RunState): Promise<void>;
  /** Called when the run has ended, before the workers are notified. */
  finish(state: RunState, outcome: Outcome): Promise<unknown>;
  /** Closes all files of a run that did not reach its end. Does not reject. */
  abandon?(): Promise<void>;
}

export interface Serving<R extends RunRecorder> {
  readonly port: number;
  readonly recorder: R;
  /** Ends the run after the open step. */
  stop(code: ErrorCode): void;
  /** Waits for at most `workers` workers before the first step. */
  expect(workers: number): void;
  inspect(): Inspection;
  /** A copy of the current weights, and their step. */
  weights(): { readonly step: number; readonly weights: Float32Array };
  /** The number of requests without a valid proof of the token. */
  unauthorized(): number;
  /**
   * Resolves when the recorder has finished and all workers have been notified. Rejects because of
   * a bug, or with the error given to `fail`.
   */
  readonly done: Promise<{
    readonly outcome: Outcome;
    readonly result: Awaited<ReturnType<R['finish']>>;
  }>;
}

/**
 * Opens the listener, then the run, and gathers workers. Rejects with ADDRESS, LIMIT, or as `open`
 * does; in that case it closes the listener.
 */
export async function serve<R extends RunRecorder>(
  settings: ServeSettings,
  open: (context: RunContext) => Promise<R>,
  log: RunViewer['log'],
): Promise<Serving<R>> {
  const { configuration, dataset } = settings;
  checkCoordinatorMemory(configuration);
  const bytes = 4 * parameterCount(configuration.model);
  const { memoryAddon } = settings;
  const memory = settings.sharedMemory ? offerMemory(bytes, memoryAddon, log) : undefined;
  const channel =
    memory?.mapped === undefined || memoryAddon === undefined
      ? undefined
      : new Rendezvous(memoryAddon, memory.mapped, settings.spin);
  const closeMemory = (): void => {
    channel?.close();
    memory?.close();
  };
  const initial = initialWeights(configuration.seed, configuration.model);
  const tensors = new Tensors(configuration, initial, memory);
  const predictions = new Predictions(configuration);
  const frameBytes = frameBytesOf(configuration);
  const own = settings.reception === undefined;
  const reception = await receptionOf(settings, frameBytes, log).catch((error: unknown) => {
    closeMemory();
    throw error;
  });
  const close = async () => {
    if (own) await reception.close();
    closeMemory();
  };
  try {
    const failures = new FirstFailure();
    const clock = systemClock;
    const fail = (error: ClusterError) => failures.add(error);
    const recorder = await open({ tensors, predictions, clock, fail });
    const { run, term, resumed } = recorder;
    const state = initialState(
      {
        ...policyOf(settings),
        run,
        term,
        configuration,
        totalSteps: totalSteps(configuration),
        evaluateAfter: settings.evaluateAfter,
      },
      clock.now(),
      resumed,
    );
    const driver = new Driver({
      state,
      tensors,
      predictions,
      observer: recorder,
      clock,
      channel,
      trace: settings.trace,
      newSession: () => randomBytes(16).toString('hex'),
    });
    failures.listen((error) => driver.fail(error));
    await openedOrAbandoned(recorder, state);
    reception.begin({
      description: describe(settings, run, Math.max(frameBytes, reception.frameBytes), memory),
      term,
      dataset,
      openMemory: (address) =>
        memory === undefined ? undefined : reachMemory(address, bytes + 4, memoryAddon, log),
      channels: channel,
      events: driver,
    });
    driver.start();
    const release = () => {
      driver.release();
      reception.end((slot) => driver.state.workers.get(slot)?.unanswered ?? 0);
    };
    return {
      port: reception.port,
      recorder,
      stop: (code) => driver.stop(code),
      expect: (workers) => driver.expect(workers),
      inspect: () => driver.inspect(),
      weights: () => ({ step: driver.state.step, weights: tensors.weights().slice() }),
      unauthorized: () => reception.unauthorized,
      done: finish(driver, recorder, close, own ? undefined : release),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The size of the largest frame in a run. */
export function frameBytesOf({ model }: Pick<Configuration, 'model'>): number {
  return frameCapacity(4 * Math.max(parameterCount(model) + 1, chunkFloatsOf(model)));
}

/** The given reception, or a new one for this run alone. */
async function receptionOf(
  settings: ServeSettings,
  frameBytes: number,
  log: RunViewer['log'],
): Promise<Reception> {
  if (settings.reception !== undefined) {
    assert(settings.reception.frameBytes >= frameBytes, 'a reception takes the frames of its runs');
    return settings.reception;
  }
  const { host, port, descriptor, token, tls, version, listening } = settings;
  const warn = (line: string) => log('warn', line, {});
  return await Reception.open({
    host,
    port,
    descriptor,
    token,
    tls,
    version,
    listening,
    warn,
    frameBytes,
  });
}

async function openedOrAbandoned(recorder: RunRecorder, state: RunState): Promise<void> {
  try {
    await recorder.opened(state);
  } catch (error) {
    await recorder.abandon?.();
    throw error;
  }
}

/**
 * Waits for the run to end, records it and notifies all workers with `notify`. Rejects with the
 * error of the driver or of the recorder.
 */
export async function conclude<R extends RunRecorder>(
  driver: Driver,
  recorder: R,
  notify = (outcome: Outcome): void => driver.shutDown(outcome),
) {
  try {
    const outcome = await driver.outcome;
    // Only R knows what its `finish` resolves with; the compiler cannot see that through the
    // interface.
    const result = (await recorder.finish(driver.state, outcome)) as Awaited<
      ReturnType<R['finish']>
    >;
    // The workers are notified only now. If this coordinator was taken over or its disk is full,
    // the run has not finished and the workers are still needed.
    notify(outcome);
    return { outcome, result };
  } catch (error) {
    // If the run was taken over, another coordinator continues it, and the workers dial again to
    // find that coordinator.
    const code = error instanceof ClusterError && error.code === 'LOCKED' ? 'LOCKED' : 'RUN_FAILED';
    notify({ state: 'failed', code, message: 'this coordinator has ended' });
    await recorder.abandon?.();
    throw error;
  }
}

async function finish<R extends RunRecorder>(
  driver: Driver,
  recorder: R,
  close: () => Promise<void>,
  notify?: (outcome: Outcome) => void,
) {
  try {
    return await conclude(driver, recorder, notify);
  } finally {
    await close();
  }
}

/** Shared memory for workers on this host; undefined if it is not available. */
function offerMemory(
  bytes: number,
  addon: MemoryAddon | undefined,
  log: RunViewer['log'],
): SharedMemory | undefined {
  try {
    return new SharedMemory(bytes, addon);
  } catch (error) {
    log('debug', `no shared memory: ${messageOf(error)}`, {});
    return undefined;
  }
}

function reachMemory(
  address: MemoryAddress,
  bytes: number,
  addon: MemoryAddon | undefined,
  log: RunViewer['log'],
): PeerMemory | undefined {
  try {
    const memory = new PeerMemory(address, bytes, addon);
    log('debug', `exchanging tensors with process ${address.process} through shared memory`, {});
    return memory;
  } catch (error) {
    log('debug', `cannot reach a worker's shared memory: ${messageOf(error)}`, {});
    return undefined;
  }
}

/** Stores the first failure until a listener is set, since a write to a file may fail earlier. */
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

function policyOf(settings: RunPolicy): RunPolicy {
  const { startWorkers, minWorkers, maxWorkers, rendezvousMilliseconds } = settings;
  const { allowMixedEngines, checkpointEvery, audit } = settings;
  return {
    startWorkers,
    minWorkers,
    maxWorkers,
    rendezvousMilliseconds,
    allowMixedEngines,
    checkpointEvery,
    audit,
  };
}

function describe(
  { configuration, dataset, version, trace }: ServeSettings,
  run: string,
  frameBytes: number,
  memory: SharedMemory | undefined,
): RunDescription {
  return {
    protocol: PROTOCOL,
    arithmetic: ARITHMETIC,
    version,
    run,
    configuration,
    frame_bytes: frameBytes,
    data_bytes: dataset.bytes.length,
    class_names: [...dataset.classNames],
    ...(memory === undefined ? {} : { memory: memory.address }),
    ...(trace === undefined ? {} : { trace: trace.window }),
  };
}
