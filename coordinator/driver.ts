import type { Clock } from '../shared/clock.ts';
import { assert, unreachable, type ClusterError, type ErrorCode } from '../shared/errors.ts';
import type { Tensor } from '../shared/wire/frame.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import { HEARTBEAT_INTERVAL_MILLISECONDS, TICK_MILLISECONDS } from '../shared/limits.ts';
import { collectGarbage } from '../shared/runtime.ts';
import type { WorkerMessage } from '../shared/wire/messages.ts';
import { ROOT } from '../shared/arithmetic/tree.ts';
import { inspect, type Inspection } from './inspection.ts';
import type { LeaveCause, Peer, PeerEvents, Traffic } from './network/peer.ts';
import type { Predictions } from './predictions.ts';
import { reduce } from './decisions/training-loop.ts';
import type { Effect, Outcome } from './decisions/effects.ts';
import type { RunEvent } from './decisions/events.ts';
import type { RunState } from './decisions/state.ts';
import type { Tensors } from './tensors.ts';

export interface StepResult {
  readonly step: number;
  readonly loss: number;
  readonly correct: number;
  /** XXH64 of the weights after the step. */
  readonly checksum: bigint;
  /** From its first weights on their way to the update, and the update itself. */
  readonly milliseconds: number;
  readonly updateMilliseconds: number;
  /**
   * The Euclidean norm of its gradient, computed when asked for, which only makes sense at once.
   */
  readonly gradientNorm: () => number;
  /** Workers that are ready. */
  readonly workers: number;
}

/** A result of a step has arrived, good or not. */
export interface ResultReport {
  readonly worker: string;
  /** What the worker says it took to compute. */
  readonly microseconds: number;
  /** Since the first weights of the step were on their way. */
  readonly milliseconds: number;
}

/** A worker is gone; `finished` is the cause of whoever goes when the run is over. */
export interface LeaveReport {
  /** Undefined for one that has not said hello. */
  readonly worker: string | undefined;
  readonly cause: LeaveCause;
  /** Of its connection, from beginning to end. */
  readonly traffic: Traffic;
}

/** What the driver tells about the run as it goes; implemented by recorder.ts. */
export interface RunObserver {
  step(result: StepResult): void;
  result(report: ResultReport): void;
  left(report: LeaveReport): void;
  evaluation(step: number): { finite: boolean };
  /** Copies what a checkpoint needs before it returns. */
  checkpoint(state: RunState): void;
  log(effect: Extract<Effect, { kind: 'log' }>): void;
  /**
   * Once a second for each worker at most; of GPUs that are not named nothing is known any more.
   */
  devices(worker: string, gpus: readonly GpuReading[]): void;
}

export interface DriverOptions {
  readonly state: RunState;
  readonly tensors: Tensors;
  readonly predictions: Predictions;
  readonly observer: RunObserver;
  readonly clock: Clock;
  /** Makes the secret with which a worker may take its slot again: 32 hexadecimal digits. */
  readonly newSession: () => string;
}

interface Queued {
  readonly event: RunEvent;
  /** The tensor that came with a message. */
  readonly tensor?: Tensor | undefined;
}

/**
 * The thin shell around the reducers: callbacks enqueue events, one loop takes them in order, asks
 * `reduce` what to do and does it. Results of effects go to the front of the queue, before anything
 * that happened later.
 */
export class Driver implements PeerEvents {
  /** Resolves with how the run ended. */
  readonly outcome: Promise<Outcome>;
  #state: RunState;
  readonly #options: DriverOptions;
  readonly #peers = new Map<number, Peer>();
  readonly #queue: Queued[] = [];
  readonly #timers: (() => void)[] = [];
  #updated: StepResult | undefined;
  /** The open step, and when its first weights were on their way. */
  #begun = { step: 0, at: 0 };
  #draining = false;
  /** What whoever comes now is told: the run is over. */
  #farewell: Pick<Outcome, 'code' | 'message'> | undefined;
  #settle: (outcome: Outcome) => void = () => undefined;
  #crash: (error: unknown) => void = () => undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#state = options.state;
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#crash = reject;
    });
    // It may fail before anybody waits for it.
    this.outcome.catch(() => undefined);
  }

  get state(): RunState {
    return this.#state;
  }

  inspect(): Inspection {
    return inspect(this.#state, (slot) => this.#peers.get(slot)?.traffic());
  }

  start(): void {
    const { clock } = this.#options;
    this.#timers.push(
      clock.every(TICK_MILLISECONDS, () => this.#tickSoon()),
      clock.every(HEARTBEAT_INTERVAL_MILLISECONDS, () => this.#beat()),
    );
  }

  /**
   * What lies in the sockets' buffers is read first: this process may have been the one that was
   * busy.
   */
  #tickSoon(): void {
    this.#options.clock.soon(() => this.#enqueue({ kind: 'tick', now: this.#now() }));
  }

  /** Ends the run in good order after the open step. */
  stop(code: ErrorCode): void {
    this.#enqueue({ kind: 'stop', code, now: this.#now() });
  }

  /** No more than so many workers are waited for before the first step. */
  expect(workers: number): void {
    this.#enqueue({ kind: 'expect', workers, now: this.#now() });
  }

  /** Ends the run at once: something outside the reducers failed. */
  fail(error: ClusterError): void {
    this.#crash(error);
  }

  /** Says goodbye to every worker; no event is taken any more. */
  shutDown(outcome: Outcome): void {
    for (const stop of this.#timers.splice(0)) stop();
    const code = outcome.code === 'RENDEZVOUS' ? 'RUN_FAILED' : outcome.code;
    const { message } = outcome;
    this.#farewell = { code, message };
    for (const peer of Array.from(this.#peers.values())) peer.close(code, message);
  }

  connected(peer: Peer): void {
    if (this.#farewell !== undefined)
      return peer.close(this.#farewell.code, this.#farewell.message);
    this.#peers.set(peer.slot, peer);
    const session = this.#options.newSession();
    this.#enqueue({ kind: 'connected', slot: peer.slot, session, now: this.#now() });
  }

  message(peer: Peer, message: WorkerMessage, tensor: Tensor | undefined): void {
    const { slot } = peer;
    this.#enqueue(
      { kind: 'message', slot, message, checksum: tensor?.checksum, now: this.#now() },
      tensor,
    );
  }

  control({ slot }: Peer): void {
    this.#enqueue({ kind: 'control', slot, now: this.#now() });
  }

  disconnected(peer: Peer, reason: string, cause: LeaveCause): void {
    // Who came too late was never let in.
    if (!this.#peers.delete(peer.slot)) return;
    this.#tellLeft(peer, cause);
    this.#enqueue({ kind: 'disconnected', slot: peer.slot, reason, now: this.#now() });
  }

  #tellLeft(peer: Peer, cause: LeaveCause): void {
    const known = this.#state.workers.get(peer.slot);
    const worker = known?.phase === 'connected' ? undefined : known?.name;
    const isOver = this.#state.phase === 'ended';
    this.#options.observer.left({
      worker,
      cause: isOver ? 'finished' : cause,
      traffic: peer.traffic(),
    });
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #beat(): void {
    for (const peer of this.#peers.values()) peer.beat();
  }

  #enqueue(event: RunEvent, tensor?: Tensor): void {
    if (this.#farewell !== undefined) return;
    this.#queue.push({ event, tensor });
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift())
        this.#take(next);
    } catch (error) {
      this.#crash(error);
    } finally {
      this.#draining = false;
    }
  }

  #take({ event, tensor }: Queued): void {
    const { state, effects } = reduce(this.#state, event);
    this.#state = state;
    // A step that was withdrawn is timed anew when it begins again.
    if (state.task === undefined) this.#begun = { step: 0, at: 0 };
    for (const effect of effects) this.#perform(effect, tensor);
  }

  /** What an effect brought about is taken before whatever else happened meanwhile. */
  #answer(event: RunEvent): void {
    this.#queue.unshift({ event });
  }

  #perform(effect: Effect, tensor: Tensor | undefined): void {
    switch (effect.kind) {
      case 'send':
        return this.#peers.get(effect.slot)?.send(effect.message);
      case 'broadcast':
        return this.#broadcast(effect);
      case 'receive':
        return this.#receive(effect, tensor);
      case 'accept':
        return effect.task === 'step'
          ? this.#options.tensors.accept(effect.part)
          : this.#options.predictions.accept(effect.part);
      case 'combine':
        return this.#options.tensors.combine(effect.node, effect.rightIsPadding);
      case 'forget':
        return this.#options.tensors.forget(effect.node);
      case 'update':
        return this.#update(effect);
      case 'record':
        return this.#record();
      case 'checkpoint':
        return this.#options.observer.checkpoint(this.#state);
      case 'evaluate':
        return this.#answer({
          kind: 'evaluated',
          ...this.#options.observer.evaluation(effect.step),
          now: this.#now(),
        });
      case 'close':
        return this.#peers.get(effect.slot)?.close(effect.code, effect.message);
      case 'log':
        return this.#options.observer.log(effect);
      case 'devices':
        return this.#options.observer.devices(effect.worker, effect.gpus);
      case 'end':
        return this.#settle(effect.outcome);
      default:
        return unreachable(effect);
    }
  }

  #broadcast({ slots, message }: Extract<Effect, { kind: 'broadcast' }>): void {
    // A worker that takes over later is sent the weights of a step that has begun.
    if (message.kind === 'step' && message.step !== this.#begun.step)
      this.#begun = { step: message.step, at: this.#now() };
    const weights = this.#options.tensors.outgoing(message);
    for (const slot of slots) this.#peers.get(slot)?.sendWeights(weights);
    // The workers have the first chunks to compute: this process is not waited for.
    if (message.kind === 'evaluate') collectGarbage();
  }

  #receive(
    { task, part, slot, correct, microseconds, isDigested }: Extract<Effect, { kind: 'receive' }>,
    tensor: Tensor | undefined,
  ): void {
    assert(tensor !== undefined, 'a result has a body');
    const receiver = task === 'step' ? this.#options.tensors : this.#options.predictions;
    const { checksum } = tensor;
    const worker = this.#state.workers.get(slot);
    if (task === 'step' && worker !== undefined) {
      const milliseconds = this.#now() - this.#begun.at;
      this.#options.observer.result({ worker: worker.name, microseconds, milliseconds });
    }
    const verdict = {
      part,
      slot,
      correct,
      microseconds,
      checksum,
      ...receiver.receive(tensor, isDigested),
    };
    this.#answer({ kind: 'received', verdict, now: this.#now() });
  }

  #update({ step, correct }: Extract<Effect, { kind: 'update' }>): void {
    const { tensors } = this.#options;
    const before = this.#now();
    const loss = tensors.update(ROOT, step);
    if (loss === undefined) return this.#waitForFrame(step, correct);
    const workers = [...this.#state.workers.values()].filter(
      ({ phase }) => phase === 'ready',
    ).length;
    // Finite parts can have a sum that is not.
    const finite = Number.isFinite(loss);
    const now = this.#now();
    const milliseconds = now - this.#begun.at;
    const gradientNorm = () => tensors.gradientNorm();
    const { checksum } = tensors;
    if (finite) {
      this.#updated = {
        step,
        loss,
        correct,
        checksum,
        workers,
        gradientNorm,
        milliseconds,
        updateMilliseconds: now - before,
      };
    }
    this.#answer({ kind: 'updated', finite, now });
  }

  #record(): void {
    assert(this.#updated !== undefined, 'an update was made');
    this.#options.observer.step(this.#updated);
    this.#updated = undefined;
  }

  /**
   * Every weights frame is still on its way somewhere: the slowest connection is ended, then the
   * update goes on.
   */
  #waitForFrame(step: number, correct: number): void {
    for (const slot of this.#options.tensors.slowest())
      this.#peers.get(slot)?.terminate('it does not read what it is sent');
    this.#options.clock.soon(() => {
      if (this.#state.phase === 'ended' || this.#farewell !== undefined) return;
      try {
        this.#update({ kind: 'update', step, correct });
      } catch (error) {
        return this.#crash(error);
      }
      this.#enqueue({ kind: 'tick', now: this.#now() });
    });
  }
}
