import { join } from 'node:path';
import { Driver, type RunObserver, type StepResult } from '../../coordinator/driver.ts';
import { openRecorder } from '../../coordinator/open-run.ts';
import type { LeaveCause, Peer, Traffic } from '../../coordinator/network/peer.ts';
import { Predictions } from '../../coordinator/predictions.ts';
import type { Recorder } from '../../coordinator/recorder.ts';
import { silentViewer } from '../../coordinator/viewer.ts';
import { conclude } from '../../coordinator/serve.ts';
import {
  initialState,
  type Resumed,
  type RunState,
  type Settings,
} from '../../coordinator/decisions/state.ts';
import { Tensors } from '../../coordinator/tensors.ts';
import { WorkerMemory, type OpenMemory } from '../../coordinator/network/worker-memory.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { CLOSE_FINISHED, ClusterError, errorTable } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/wire/frame.ts';
import { workerMessage } from '../../shared/wire/messages.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import { receive } from '../../shared/wire/receive.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../../shared/wire/shared-memory.ts';
import { givenInit } from './model.ts';
import { SimulatedProcess, type World } from './simulated-process.ts';
import type { Wire } from './wire.ts';

export const RUNS = '/runs';
export const RUN = join(RUNS, 'r');

/** Is notified of each action of a coordinator, and throws if the action is wrong. */
export interface Witness {
  /** The coordinator has opened the run in this state, and sends this term to its workers. */
  opened(coordinator: SimulatedCoordinator, term: number, resumed: Resumed | undefined): void;
  welcomed(term: number): void;
  step(coordinator: SimulatedCoordinator, result: StepResult): void;
  evaluation(
    coordinator: SimulatedCoordinator,
    step: number,
    set: EvaluatedSet,
    values: Float32Array,
  ): void;
  /** The coordinator reports that a checkpoint is safe. */
  kept(step: number): void;
  /**
   * The process has ended on its own. `error` says why the run is not finished; undefined if it is.
   */
  ended(coordinator: SimulatedCoordinator, error: unknown): void;
}

export interface CoordinatorOptions {
  readonly world: World;
  readonly host: string;
  readonly settings: Omit<Settings, 'run' | 'term'>;
  readonly dataset: Dataset;
  readonly takeOver: boolean;
  /** Whether the workers are on its host, so that tensors travel through shared memory. */
  readonly isShared: boolean;
  readonly witness: Witness;
}

/**
 * A coordinator's process: the real driver, reducers, kernels, codec and run directory on simulated
 * time, wires and disk.
 */
export class SimulatedCoordinator {
  readonly process: SimulatedProcess;
  /** The lines that the coordinator has logged. */
  readonly lines: string[] = [];
  /**
   * The last step that the coordinator completed or resumed from, and the last evaluation that it
   * made, by its place among all tasks.
   */
  done = 0;
  evaluated = 0;
  /** The open task, and the time at which it was opened. */
  task: string | undefined;
  taskSince = 0;
  readonly #options: CoordinatorOptions;
  readonly #memory: SharedMemory | undefined;
  readonly #tensors: Tensors;
  readonly #predictions: Predictions;
  readonly #wires = new Map<number, Wire>();
  readonly #peers = new Set<SimulatedPeer>();
  #driver: Driver | undefined;
  #failure: ClusterError | undefined;
  #events = '';

  constructor(options: CoordinatorOptions) {
    const { configuration } = options.settings;
    this.#options = options;
    this.process = new SimulatedProcess(options.world, options.host);
    const weights = initialWeights(configuration.seed, configuration.model);
    this.#memory = options.isShared ? new SharedMemory(weights.byteLength) : undefined;
    this.#tensors = new Tensors(configuration, weights, this.#memory);
    this.#predictions = new Predictions(configuration);
    this.#live().then(
      () => options.witness.ended(this, undefined),
      (error: unknown) => options.witness.ended(this, error),
    );
  }

  /** Undefined until the coordinator is listening. */
  get state(): RunState | undefined {
    return this.#driver?.state;
  }

  get memory(): MemoryAddress | undefined {
    return this.#memory?.address;
  }

  weights(): Float32Array {
    return this.#tensors.weights();
  }

  /**
   * Returns undefined if the worker has died in the meantime: its descriptor may refer to a
   * different file by now.
   */
  #reachMemory(address: MemoryAddress): PeerMemory | undefined {
    try {
      return new PeerMemory(address, 4 * (this.#tensors.parameters + 1));
    } catch {
      return undefined;
    }
  }

  /** Frames that arrive while the coordinator is stopped wait in its socket. */
  accept(wire: Wire): void {
    let slot = 0;
    while (this.#wires.has(slot)) slot += 1;
    this.#wires.set(slot, wire);
    const driver = this.#driver;
    if (driver === undefined) throw new Error('no coordinator is listening');
    const run = (task: () => void): void => this.process.run(task);
    const welcomed = (term: number): void => this.#options.witness.welcomed(term);
    const peer: SimulatedPeer = new SimulatedPeer({
      slot,
      wire,
      driver,
      run,
      welcomed,
      openMemory: (address) => this.#reachMemory(address),
      onGone: () => {
        this.#peers.delete(peer);
        this.#wires.delete(slot);
      },
    });
    this.#peers.add(peer);
    run(() => driver.connected(peer));
  }

  /** SIGKILL: everything that was not written is lost. */
  kill(): void {
    if (!this.process.isAlive) return;
    this.process.kill();
    this.#memory?.close();
    for (const peer of this.#peers) peer.die();
    for (const wire of this.#wires.values()) {
      wire.silence('coordinator');
      wire.cut();
    }
  }

  /** Does what coordinator/serve.ts does, without sockets. */
  async #live(): Promise<void> {
    const { world, settings, witness } = this.#options;
    const clock = this.process.clock();
    const recorder = await this.#open();
    const { run, term, resumed } = recorder;
    const state = initialState({ ...settings, run, term }, clock.now(), resumed);
    const driver = new Driver({
      state,
      tensors: this.#tensors,
      predictions: this.#predictions,
      clock,
      observer: this.#observe(recorder),
      newSession: () => world.random.hex(32),
    });
    await recorder.opened(state);
    if (this.#failure !== undefined) throw this.#failure;
    this.done = resumed?.step ?? 0;
    this.#driver = driver;
    witness.opened(this, term, resumed);
    driver.start();
    const { outcome } = await conclude(driver, recorder);
    if (outcome.state !== 'finished')
      throw new Error(`the run ends as ${outcome.state}: ${outcome.message}`);
  }

  #open(): Promise<Recorder> {
    const { world, settings, dataset, takeOver } = this.#options;
    // Without an id, it resumes the run, as when `local` restarts a coordinator.
    const isBegun = world.disk.has(join(RUN, 'run.json'));
    return openRecorder(
      {
        configuration: settings.configuration,
        dataset,
        version: '0',
        launch: {},
        keepCheckpoints: 2,
        takeOver,
        runsDir: RUNS,
        runId: isBegun ? undefined : 'r',
        resume: isBegun ? RUN : undefined,
        init: isBegun ? undefined : givenInit(settings.configuration),
      },
      {
        tensors: this.#tensors,
        predictions: this.#predictions,
        clock: this.process.clock(),
        fail: (error) => {
          this.#failure ??= error;
          this.#driver?.fail(error);
        },
      },
      {
        ...silentViewer,
        log: (_level, message) => void this.lines.push(message),
      },
      {
        disk: this.process.disk((path, bytes) => this.#appended(path, bytes)),
        processes: this.process.processes(),
      },
    );
  }

  #observe(recorder: Recorder): RunObserver {
    const { witness } = this.#options;
    return {
      step: (result) => {
        witness.step(this, result);
        recorder.step(result);
      },
      restore: (state) => recorder.restore(state),
      evaluation: (step, set, state) => {
        witness.evaluation(this, step, set, this.#predictions.all(set));
        return recorder.evaluation(step, set, state);
      },
      result: (report) => recorder.result(report),
      left: (report) => recorder.left(report),
      checkpoint: (state) => recorder.checkpoint(state),
      log: (effect) => recorder.log(effect),
      devices: (worker, gpus) => recorder.devices(worker, gpus),
    };
  }

  #appended(path: string, bytes: Uint8Array): void {
    if (path !== join(RUN, 'events.jsonl')) return;
    const lines = (this.#events + Buffer.from(bytes).toString()).split('\n');
    this.#events = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.endsWith('}')) throw new Error(`events.jsonl has a torn line: ${line}`);
      const event: unknown = JSON.parse(line);
      const isKept =
        event !== null && typeof event === 'object' && 'event' in event && 'step' in event;
      if (isKept && event.event === 'checkpoint') this.#options.witness.kept(Number(event.step));
    }
  }
}

interface PeerOptions {
  readonly slot: number;
  readonly wire: Wire;
  readonly driver: Driver;
  /** Runs a task as soon as the process is not stopped; never if it has ended. */
  readonly run: (task: () => void) => void;
  readonly welcomed: (term: number) => void;
  readonly openMemory: OpenMemory;
  readonly onGone: () => void;
}

class SimulatedPeer implements Peer {
  readonly slot: number;
  readonly #options: PeerOptions;
  readonly #wire: Wire;
  readonly #driver: Driver;
  readonly #memory: WorkerMemory;
  #isOpen = true;

  constructor(options: PeerOptions) {
    const { slot, wire, driver, run, openMemory } = options;
    this.#options = options;
    this.#memory = new WorkerMemory(openMemory);
    this.slot = slot;
    this.#wire = wire;
    this.#driver = driver;
    wire.attach('coordinator', {
      receive: (frame) => run(() => this.#receive(frame)),
      closed: (code) => run(() => this.#leave(`its connection closed (${code})`, 'connection')),
    });
  }

  traffic(): Traffic {
    return { sentBytes: 0, receivedBytes: 0, queuedBytes: 0, roundTripMilliseconds: undefined };
  }

  beat(): void {
    this.send({ kind: 'heartbeat' });
  }

  send(message: Parameters<Peer['send']>[0]): void {
    if (!this.#isOpen) return;
    if (message.kind === 'welcome') this.#options.welcomed(message.term);
    this.#wire.send('worker', encodeHeader(message));
  }

  sendWeights(weights: Parameters<Peer['sendWeights']>[0]): void {
    if (!this.#isOpen) return;
    const release = weights.hold(this.slot);
    if (this.#memory.isShared) {
      this.#memory.point(weights.message, release);
      return this.#wire.send('worker', weights.pointer());
    }
    this.#wire.send('worker', weights.frame().bytes, release);
  }

  close(code: Parameters<Peer['close']>[0], message: string): void {
    if (!this.#isOpen) return;
    if (code !== undefined) this.send({ kind: 'bye', code, message });
    this.#leave(message, code ?? 'finished');
    this.#wire.close(
      'coordinator',
      code === undefined ? CLOSE_FINISHED : (errorTable[code].close ?? 4500),
      message,
    );
  }

  terminate(reason: string): void {
    this.#leave(reason, 'unread');
    this.#wire.cut();
  }

  #receive(frame: Buffer): void {
    if (!this.#isOpen) return;
    try {
      const lookUp = (buffer: number, checksum: bigint) => this.#memory.tensor(buffer, checksum);
      const { message, tensor } = receive(workerMessage, frame, true, lookUp);
      this.#memory.heard(message);
      this.#driver.message(this, message, tensor);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.close(error.code, error.message);
    }
  }

  /** The worker's process has ended, which closed its connection and its memory. */
  die(): void {
    this.#isOpen = false;
    this.#memory.close();
  }

  #leave(reason: string, cause: LeaveCause): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#memory.close();
    this.#options.onGone();
    this.#driver.disconnected(this, reason, cause);
  }
}
