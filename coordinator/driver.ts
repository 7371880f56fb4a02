import type { Clock } from '../shared/clock.ts';
import { assert, unreachable, type ClusterError, type ErrorCode } from '../shared/errors.ts';
import type { Tensor } from '../shared/wire/frame.ts';
import type { EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import { HEARTBEAT_INTERVAL_MILLISECONDS, TICK_MILLISECONDS } from '../shared/limits.ts';
import { collectGarbage } from '../shared/runtime.ts';
import type { ResultMessage, WorkerMessage } from '../shared/wire/messages.ts';
import { ROOT } from '../shared/arithmetic/tree.ts';
import { inspect, type Inspection } from './inspection.ts';
import type { LeaveCause, Peer, PeerEvents, Traffic } from './network/peer.ts';
import type { Predictions } from './predictions.ts';
import { reduce } from './decisions/training-loop.ts';
import type { Effect, Outcome } from './decisions/effects.ts';
import type { Recorded, RunEvent } from './decisions/events.ts';
import type { RunState, Weights } from './decisions/state.ts';
import type { Rendezvous } from '../shared/wire/rendezvous.ts';
import type { Tensors } from './tensors.ts';
import type { StepTrace } from './trace/step-trace.ts';

export interface StepResult {
  readonly step: number;
  readonly loss: number;
  readonly correct: number;
  /** XXH64 of the weights after the step. */
  readonly checksum: bigint;
  /**
   * The duration of the step, from sending the first weights to the end of the update, and of the
   * update alone.
   */
  readonly milliseconds: number;
  readonly updateMilliseconds: number;
  /** The Euclidean norm of the gradient, computed when called; call it before `step` returns. */
  readonly gradientNorm: () => number;
  /** The number of ready workers. */
  readonly workers: number;
}

/** A step result that has arrived, valid or not. */
export interface ResultReport {
  readonly worker: string;
  /** Computing time by the worker's own clock. */
  readonly microseconds: number;
  /** Time since the step's first weights were sent. */
  readonly milliseconds: number;
}

/** A worker has left. After the end of the run, the cause is `finished`. */
export interface LeaveReport {
  /** Undefined if the worker left before saying hello. */
  readonly worker: string | undefined;
  readonly cause: LeaveCause;
  /** All traffic on its connection. */
  readonly traffic: Traffic;
}

/** Observes the run; implemented by recorder.ts. */
export interface RunObserver {
  step(result: StepResult): void;
  result(report: ResultReport): void;
  left(report: LeaveReport): void;
  /** Records the evaluation of a set, after the checkpoint that it may need. */
  evaluation(step: number, set: EvaluatedSet, state: RunState): Recorded | Promise<Recorded>;
  /** The weights to restore; before the best ones, the last ones are saved. */
  restore(state: RunState, which: Weights): Promise<Float32Array>;
  /** Copies all checkpoint data before it returns. */
  checkpoint(state: RunState): void;
  log(effect: Extract<Effect, { kind: 'log' }>): void;
  /** A worker's GPU readings, at most once a second. They replace all earlier ones. */
  devices(worker: string, gpus: readonly GpuReading[]): void;
}

export interface DriverOptions {
  readonly state: RunState;
  readonly tensors: Tensors;
  readonly predictions: Predictions;
  readonly observer: RunObserver;
  readonly clock: Clock;
  /** The channel to workers on this host; undefined if there is none. */
  readonly channel?: Pick<Rendezvous, 'publish' | 'expect' | 'relax'> | undefined;
  /** Records when what happens; undefined without --trace. */
  readonly trace?: StepTrace | undefined;
  /** Generates the secret that lets a worker reclaim its slot: 32 hexadecimal digits. */
  readonly newSession: () => string;
}

interface Queued {
  readonly event: RunEvent;
  /** The tensor that came with a message. */
  readonly tensor?: Tensor | undefined;
}

/**
 * The shell around the reducers. Callbacks enqueue events; one loop passes them to `reduce` in
 * order and performs the effects. Events that effects cause go to the front of the queue.
 */
export class Driver implements PeerEvents {
  /** Resolves with the outcome once the run has ended. */
  readonly outcome: Promise<Outcome>;
  #state: RunState;
  readonly #options: DriverOptions;
  readonly #peers = new Map<number, Peer>();
  readonly #queue: Queued[] = [];
  readonly #timers: (() => void)[] = [];
  #updated: StepResult | undefined;
  /** The open step, and when its first weights were sent. */
  #begun = { step: 0, at: 0 };
  #draining = false;
  /** Why the run has ended, for peers that connect afterwards. */
  #shutdownReason: Pick<Outcome, 'code' | 'message'> | undefined;
  #settle: (outcome: Outcome) => void = () => undefined;
  #crash: (error: unknown) => void = () => undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
    this.#state = options.state;
    this.outcome = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#crash = reject;
    });
    // The promise may reject before a caller awaits it.
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
   * Lets the event loop read the socket buffers first, so that no worker counts as late because
   * this process was busy.
   */
  #tickSoon(): void {
    this.#options.clock.soon(() => this.#enqueue({ kind: 'tick', now: this.#now() }));
  }

  /**
   * Ends the run after the open step. An observer that calls it while an evaluation is recorded
   * ends the run with this evaluation.
   */
  stop(code: ErrorCode): void {
    const event = { kind: 'stop', code, now: this.#now() } as const;
    if (this.#draining) this.#queue.unshift({ event });
    else this.#enqueue(event);
  }

  /** Waits for at most `workers` workers before the first step. */
  expect(workers: number): void {
    this.#enqueue({ kind: 'expect', workers, now: this.#now() });
  }

  /** Fails the run immediately because something outside the reducers failed. */
  fail(error: ClusterError): void {
    this.#crash(error);
  }

  /** Closes all connections with the outcome. Events are ignored from then on. */
  shutDown(outcome: Outcome): void {
    for (const stop of this.#timers.splice(0)) stop();
    const code = outcome.code === 'RENDEZVOUS' ? 'RUN_FAILED' : outcome.code;
    const { message } = outcome;
    this.#shutdownReason = { code, message };
    for (const peer of Array.from(this.#peers.values())) peer.close(code, message);
  }

  /** Leaves the connections open for the next run. Events are ignored from then on. */
  release(): void {
    for (const stop of this.#timers.splice(0)) stop();
    this.#shutdownReason = { code: undefined, message: 'the run is over' };
    for (const peer of this.#peers.values()) this.#tellLeft(peer, 'finished');
    this.#peers.clear();
  }

  connected(peer: Peer): void {
    if (this.#shutdownReason !== undefined)
      return peer.close(this.#shutdownReason.code, this.#shutdownReason.message);
    this.#peers.set(peer.slot, peer);
    this.#options.trace?.connected(peer.slot);
    const session = this.#options.newSession();
    this.#enqueue({ kind: 'connected', slot: peer.slot, session, now: this.#now() });
  }

  message(peer: Peer, message: WorkerMessage, tensor: Tensor | undefined): void {
    const { slot } = peer;
    if (this.#options.trace !== undefined && isResult(message))
      this.#options.trace.result(slot, this.#state.workers.get(slot)?.name ?? '', message);
    this.#enqueue(
      { kind: 'message', slot, message, checksum: tensor?.checksum, now: this.#now() },
      tensor,
    );
  }

  control({ slot }: Peer): void {
    this.#enqueue({ kind: 'control', slot, now: this.#now() });
  }

  disconnected(peer: Peer, reason: string, cause: LeaveCause): void {
    // A peer that connected after the run ended was never admitted.
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
    if (this.#shutdownReason !== undefined) return;
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
    // If the step was dropped, timing restarts when the step begins again.
    if (state.task === undefined) this.#begun = { step: 0, at: 0 };
    const { trace } = this.#options;
    for (const effect of effects)
      if (trace === undefined) this.#perform(effect, tensor);
      else trace.around(effect, () => this.#perform(effect, tensor));
  }

  /**
   * Enqueues an event that an effect caused, ahead of all other events but a request to stop: the
   * next step must not begin before it.
   */
  #answer(event: RunEvent): void {
    const other = this.#queue.findIndex((queued) => queued.event.kind !== 'stop');
    this.#queue.splice(other === -1 ? this.#queue.length : other, 0, { event });
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
        return this.#evaluate(effect);
      case 'restore':
        return this.#restore(effect);
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
    // The weights may also be sent to a worker that joins while the step is under way.
    if (message.kind === 'step' && message.step !== this.#begun.step)
      this.#begun = { step: message.step, at: this.#now() };
    const weights = this.#options.tensors.outgoing(message);
    for (const slot of slots) this.#peers.get(slot)?.sendWeights(weights);
    const { channel } = this.#options;
    // While it waits for channels, this process would read other workers' results late.
    if (message.kind === 'step' && weights.peers.length === slots.length) channel?.expect();
    else channel?.relax();
    if (weights.peers.length > 0) channel?.publish(weights.pointer(), weights.peers);
    // Collected now because the workers are computing the first chunks and are not waiting for this
    // process.
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
    // The sum of finite parts need not be finite.
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

  #evaluate({ step, set }: Extract<Effect, { kind: 'evaluate' }>): void {
    const recorded = this.#options.observer.evaluation(step, set, this.#state);
    const eventOf = (result: Recorded): RunEvent => ({
      kind: 'evaluated',
      ...result,
      now: this.#now(),
    });
    if (!(recorded instanceof Promise)) return this.#answer(eventOf(recorded));
    recorded.then(
      (result) => this.#enqueue(eventOf(result)),
      (error: unknown) => this.#crash(error),
    );
  }

  #restore({ which }: Extract<Effect, { kind: 'restore' }>): void {
    this.#options.observer
      .restore(this.#state, which)
      .then((weights) => this.#replace(weights))
      .catch((error: unknown) => this.#crash(error));
  }

  /** Replaces the weights once a frame is free. */
  #replace(weights: Float32Array): void {
    if (this.#isOver) return;
    if (this.#options.tensors.replace(weights))
      return this.#enqueue({ kind: 'restored', now: this.#now() });
    this.#retryWithFrame(() => this.#replace(weights));
  }

  #record(): void {
    assert(this.#updated !== undefined, 'an update was made');
    this.#options.observer.step(this.#updated);
    this.#updated = undefined;
  }

  /** Retries the update, outside the queue. */
  #waitForFrame(step: number, correct: number): void {
    this.#retryWithFrame(() => {
      this.#update({ kind: 'update', step, correct });
      this.#enqueue({ kind: 'tick', now: this.#now() });
    });
  }

  /**
   * Called while all weights frames are still being sent. Closes the slowest connections, then
   * calls `retry`, unless the run is over.
   */
  #retryWithFrame(retry: () => void): void {
    for (const slot of this.#options.tensors.slowest())
      this.#peers.get(slot)?.terminate('it does not read its messages');
    this.#options.clock.soon(() => {
      if (this.#isOver) return;
      try {
        retry();
      } catch (error) {
        this.#crash(error);
      }
    });
  }

  get #isOver(): boolean {
    return this.#state.phase === 'ended' || this.#shutdownReason !== undefined;
  }
}

function isResult(message: WorkerMessage): message is ResultMessage {
  return message.kind === 'gradient' || message.kind === 'predictions';
}
