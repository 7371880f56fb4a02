import { Driver, type RunObserver, type StepResult } from '../../coordinator/driver.ts';
import type { Peer } from '../../coordinator/peer.ts';
import { Predictions } from '../../coordinator/predictions.ts';
import { initialState, type Effect, type RunState, type Settings } from '../../coordinator/state.ts';
import { Tensors } from '../../coordinator/tensors.ts';
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
}

/** A coordinator's process: the real driver, reducers, kernels and codec on simulated time and wires. */
export class SimulatedCoordinator implements RunObserver {
  readonly driver: Driver;
  /** What it logged. */
  readonly lines: string[] = [];
  readonly #tensors: Tensors;
  readonly #predictions: Predictions;
  readonly #witness: Witness;
  readonly #slots = new Set<number>();

  constructor(settings: Settings, time: VirtualTime, random: Random, witness: Witness) {
    const { configuration } = settings;
    this.#witness = witness;
    this.#tensors = new Tensors(configuration, initialWeights(configuration.seed, configuration.model));
    this.#predictions = new Predictions(configuration.testSamples, configuration.model.classes);
    this.driver = new Driver({
      ...{ tensors: this.#tensors, predictions: this.#predictions, observer: this, clock: time },
      state: initialState(settings, time.now()),
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
    while (this.#slots.has(slot)) slot += 1;
    this.#slots.add(slot);
    this.driver.connected(new SimulatedPeer(slot, wire, this.driver, () => this.#slots.delete(slot)));
  }

  step(result: StepResult): void {
    this.#witness.step(result);
  }

  evaluation(step: number): { finite: boolean } {
    this.#witness.evaluation(step, this.#predictions.all());
    return { finite: true };
  }

  log({ message }: Extract<Effect, { kind: 'log' }>): void {
    this.lines.push(message);
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
