import { Driver, type RunObserver, type StepResult } from '../../coordinator/driver.ts';
import type { Peer } from '../../coordinator/peer.ts';
import { Predictions } from '../../coordinator/predictions.ts';
import {
  initialState,
  type Effect,
  type Resumed,
  type RunState,
  type Settings,
} from '../../coordinator/state.ts';
import { Tensors } from '../../coordinator/tensors.ts';
import type { Clock } from '../../shared/clock.ts';
import { CLOSE_FINISHED, ClusterError, errorTable } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/frame.ts';
import { workerMessage } from '../../shared/messages.ts';
import { initialWeights } from '../../shared/random.ts';
import { receive } from '../../shared/receive.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { Wire } from './wire.ts';

/** Told of what the coordinator does; throws where that is wrong. */
export interface Witness {
  step(result: StepResult): void;
  evaluation(step: number, values: Float32Array): void;
  /** A checkpoint is safe: a coordinator that starts now goes on from it. */
  kept(checkpoint: KeptCheckpoint): void;
}

/** What survives a crash. */
export interface KeptCheckpoint extends Resumed {
  readonly tensors: ReturnType<Tensors['snapshot']>;
}

/** A coordinator's process: the real driver, reducers, kernels and codec on simulated time and wires. */
export class SimulatedCoordinator implements RunObserver {
  readonly driver: Driver;
  /** What it logged. */
  readonly lines: string[] = [];
  readonly #tensors: Tensors;
  readonly #predictions: Predictions;
  readonly #witness: Witness;
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #wires = new Map<number, Wire>();
  #isAlive = true;

  constructor(
    settings: Settings,
    time: VirtualTime,
    random: Random,
    witness: Witness,
    kept: KeptCheckpoint | undefined,
  ) {
    const { configuration } = settings;
    this.#witness = witness;
    this.#time = time;
    this.#random = random;
    this.#tensors = new Tensors(configuration, initialWeights(configuration.seed, configuration.model));
    this.#predictions = new Predictions(configuration.testSamples, configuration.model.classes);
    if (kept !== undefined) this.#tensors.restore(kept.tensors);
    this.driver = new Driver({
      ...{ tensors: this.#tensors, predictions: this.#predictions, observer: this, clock: this.#clock() },
      state: initialState(settings, time.now(), kept),
      newSession: () => random.hex(32),
    });
    this.driver.start();
  }

  get state(): RunState {
    return this.driver.state;
  }

  weights(): Float32Array {
    return this.#tensors.weights();
  }

  accept(wire: Wire): void {
    let slot = 0;
    while (this.#wires.has(slot)) slot += 1;
    this.#wires.set(slot, wire);
    this.driver.connected(new SimulatedPeer(slot, wire, this.driver, () => this.#wires.delete(slot)));
  }

  /** SIGKILL: whatever was not kept is lost. */
  kill(): void {
    this.#isAlive = false;
    for (const wire of this.#wires.values()) {
      wire.silence('coordinator');
      wire.cut();
    }
  }

  step(result: StepResult): void {
    this.#witness.step(result);
  }

  evaluation(step: number): { finite: boolean } {
    this.#witness.evaluation(step, this.#predictions.all());
    return { finite: true };
  }

  checkpoint({ step, evaluated, fingerprint, engine, mixed, delivered }: RunState): void {
    if (fingerprint === undefined) throw new Error('a step was done, so there is a fingerprint');
    const where = { step, evaluated, fingerprint, engine, mixed, delivered };
    const checkpoint = { ...where, tensors: this.#tensors.snapshot() };
    // The disk takes its time; who dies meanwhile has written nothing.
    this.#time.after(this.#random.between(0, 100), () => {
      if (this.#isAlive) this.#witness.kept(checkpoint);
    });
  }

  log({ message }: Extract<Effect, { kind: 'log' }>): void {
    this.lines.push(message);
  }

  /** Timers that stop with the process. */
  #clock(): Clock {
    const time = this.#time;
    const alive = (task: () => void) => () => {
      if (this.#isAlive) task();
    };
    return {
      now: time.now,
      every: (milliseconds, task) => time.every(milliseconds, alive(task)),
      after: (milliseconds, task) => time.after(milliseconds, alive(task)),
      soon: (task) => time.soon(alive(task)),
    };
  }
}

class SimulatedPeer implements Peer {
  readonly slot: number;
  readonly #wire: Wire;
  readonly #driver: Driver;
  readonly #onGone: () => void;
  #isOpen = true;

  constructor(slot: number, wire: Wire, driver: Driver, onGone: () => void) {
    this.slot = slot;
    this.#wire = wire;
    this.#driver = driver;
    this.#onGone = onGone;
    wire.attach('coordinator', {
      receive: (frame) => this.#receive(frame),
      closed: (code) => this.#leave(`its connection closed (${code})`),
    });
  }

  send(message: Parameters<Peer['send']>[0]): void {
    if (this.#isOpen) this.#wire.send('worker', encodeHeader(message));
  }

  sendWeights(weights: Parameters<Peer['sendWeights']>[0]): void {
    if (!this.#isOpen) return;
    const release = weights.hold(this.slot);
    this.#wire.send('worker', weights.frame(), release);
  }

  close(code: Parameters<Peer['close']>[0], message: string): void {
    if (!this.#isOpen) return;
    if (code !== undefined) this.send({ kind: 'bye', code, message });
    this.#leave(message);
    this.#wire.close(
      'coordinator',
      code === undefined ? CLOSE_FINISHED : (errorTable[code].close ?? 4500),
      message,
    );
  }

  terminate(reason: string): void {
    this.#leave(reason);
    this.#wire.cut();
  }

  #receive(frame: Buffer): void {
    if (!this.#isOpen) return;
    try {
      const { message, tensor } = receive(workerMessage, frame, true, () => undefined);
      this.#driver.message(this, message, tensor);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.close(error.code, error.message);
    }
  }

  #leave(reason: string): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#onGone();
    this.#driver.disconnected(this, reason);
  }
}
