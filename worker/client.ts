import { setImmediate } from 'node:timers/promises';
import { assert, ClusterError, messageOf, unreachable } from '../shared/errors.ts';
import type { Tensor } from '../shared/wire/frame.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import * as limits from '../shared/limits.ts';
import type { MemoryAddon } from '../shared/wire/memory-addon.ts';
import type { CoordinatorMessage } from '../shared/wire/messages.ts';
import type { Spin } from '../shared/wire/rendezvous.ts';
import { isTraced } from '../shared/wire/traced-steps.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import type { Computation } from './computation.ts';
import { fetchDescription, type DialOptions } from './dial.ts';
import type { Link, LinkEvents } from './link.ts';
import type { HostAccess } from './open-link.ts';
import { markNow, type FirstMarks } from './marks.ts';
import type { Result } from './result-frames.ts';
import {
  initialSession,
  reduceSession,
  type SessionEffect,
  type SessionEvent,
  type SessionSettings,
  type SessionState,
} from './session.ts';
import type { TaskKind } from '../shared/wire/task-order.ts';

export interface ClientOptions {
  readonly dial: DialOptions;
  readonly settings: SessionSettings;
  /**
   * Loads the data and builds the engine. Called again only for a different configuration; the
   * computation that it returned before is then no longer used, and may be taken over.
   */
  readonly prepare: (run: RunDescription) => Promise<Computation>;
  readonly log: (level: 'info' | 'warn' | 'debug', message: string) => void;
  /** Returns random numbers in [0, 1), which jitter the pauses between dials. */
  readonly random: () => number;
  readonly clock: () => number;
  /** Loads the addon that maps memory shared with a coordinator on this host, if there is one. */
  readonly loadMemoryAddon?: () => Promise<MemoryAddon | undefined>;
  /** How long waits for the coordinator through this memory may spin; by default, 0. */
  readonly spin?: Spin;
}

interface Queued {
  readonly event: SessionEvent;
  /** The weights that came with a message. */
  readonly tensor?: Tensor | undefined;
}

/**
 * The shell around the session reducer: sockets and timers enqueue events, and one loop performs
 * their effects in order.
 */
export class Client {
  /** Resolves when the run has ended for this worker; rejects with the error that ended it. */
  readonly done: Promise<void>;
  readonly #options: ClientOptions;
  #state: SessionState;
  #run: RunDescription | undefined;
  #computation: Computation | undefined;
  /** The configuration that the computation is for, as JSON. */
  #computed: string | undefined;
  /** The largest frame that the connection takes. */
  #frameBytes = 0;
  #link: Link | undefined;
  #pause: NodeJS.Timeout | undefined;
  #gpus: readonly GpuReading[] | undefined;
  /** When the weights of the task arrived, by this worker's clock. */
  #received = 0;
  /** When the batches of the next step were built, if it is traced. */
  #prefetched: FirstMarks['prefetched'];
  readonly #queue: Queued[] = [];
  /** Number of queued messages that carry weights. */
  #waitingWeights = 0;
  #draining = false;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#state = initialSession(options.settings);
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  start(): void {
    this.#enqueue({ kind: 'start', now: this.#options.clock() });
  }

  /** Leaves the run and tells the coordinator why. */
  leave(error: ClusterError): void {
    this.#link?.send({ kind: 'bye', code: error.code, message: error.message });
    this.#state = { ...this.#state, phase: 'ended' };
    this.#disconnect();
    clearTimeout(this.#pause);
    this.#reject(error);
  }

  /**
   * Sends readings from this worker's GPUs to the coordinator, immediately or once the worker is
   * ready.
   */
  report(gpus: readonly GpuReading[]): void {
    this.#gpus = gpus;
    if (this.#state.phase === 'ready') this.#tellDevices();
  }

  #tellDevices(): void {
    if (this.#gpus !== undefined) this.#link?.send({ kind: 'devices', gpus: this.#gpus });
  }

  #enqueue(event: SessionEvent, tensor?: Tensor): void {
    this.#queue.push({ event, tensor });
    if (!this.#draining) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (next.tensor !== undefined) this.#waitingWeights -= 1;
        const { state, effects } = reduceSession(this.#state, next.event);
        this.#state = state;
        for (const effect of effects) {
          const pending = this.#perform(effect, next.tensor);
          // The effects of a step are synchronous. Awaiting only pending effects keeps a step in
          // one turn of the event loop.
          if (pending !== undefined) await pending;
        }
      }
    } catch (error) {
      if (error instanceof ClusterError)
        this.#enqueueLater({ kind: 'failed', error, now: this.#options.clock() });
      else this.#reject(error);
    } finally {
      this.#draining = false;
      if (this.#queue.length > 0) void this.#drain();
    }
  }

  #enqueueLater(event: SessionEvent): void {
    this.#queue.unshift({ event });
  }

  /**
   * Queues a message. Messages may wait while this worker prepares or while the socket sends
   * results, but the length of the queue is limited.
   */
  #hear(message: CoordinatorMessage, tensor: Tensor | undefined): void {
    // The link has already recorded the heartbeat, which needs no answer.
    if (message.kind === 'heartbeat' || message.kind === 'channel') return;
    const now = this.#options.clock();
    if (tensor !== undefined) this.#waitingWeights += 1;
    this.#enqueue({ kind: 'message', message, now }, tensor);
    const isTooMuch =
      this.#queue.length > limits.MAX_WAITING_MESSAGES ||
      this.#waitingWeights > limits.MAX_WAITING_WEIGHTS;
    if (!isTooMuch) return;
    const what = `the coordinator sends too much: ${this.#queue.length} messages are queued`;
    this.#disconnect();
    this.#enqueueLater({ kind: 'failed', error: new ClusterError('LIMIT', what), now });
  }

  #perform(effect: SessionEffect, tensor: Tensor | undefined): Promise<void> | undefined {
    switch (effect.kind) {
      case 'dial':
        if (effect.because !== undefined)
          this.#options.log('info', `${effect.because.message}; retrying`);
        void this.#dial(effect.afterMilliseconds);
        return undefined;
      case 'send':
        this.#link?.send(effect.message);
        if (effect.message.kind === 'ready') this.#tellDevices();
        return undefined;
      case 'prepare':
        return this.#prepare();
      case 'follow':
        return this.#follow(effect.run);
      case 'takeWeights':
        assert(tensor !== undefined, 'weights come with their message');
        this.#received = markNow();
        this.#link?.beginTask();
        this.#computing().takeWeights(tensor);
        return undefined;
      case 'compute':
        return this.#compute(effect);
      case 'prefetch':
        this.#prefetch(effect.step, effect.parts);
        return undefined;
      case 'disconnect':
        this.#disconnect();
        return undefined;
      case 'end':
        if (effect.error === undefined) this.#resolve();
        else this.#reject(effect.error);
        return undefined;
      default:
        return unreachable(effect);
    }
  }

  #computing(): Computation {
    assert(this.#computation !== undefined, 'a worker prepares before it computes');
    return this.#computation;
  }

  #compute({
    task,
    step,
    parts,
  }: Extract<SessionEffect, { kind: 'compute' }>): Promise<void> | undefined {
    const { run, term } = this.#state;
    const computation = this.#computing();
    const send = (result: Result) =>
      this.#link === undefined ? result.free() : this.#link.sendResult(result);
    const marks = isTraced(this.#run?.trace, step) ? this.#firstMarks(task) : undefined;
    if (task === 'step') return computation.gradients({ run, term, step }, parts, send, marks);
    return computation.predictions({ run, term, step }, task, parts, send, marks);
  }

  #firstMarks(task: TaskKind): FirstMarks {
    const prefetched = task === 'step' ? this.#prefetched : undefined;
    return { received: this.#received, ...(prefetched === undefined ? {} : { prefetched }) };
  }

  #prefetch(step: number, parts: readonly number[]): void {
    const computation = this.#computing();
    this.#link?.whenSent(() => {
      if (this.#computation !== computation) return;
      const begun = isTraced(this.#run?.trace, step) ? markNow() : undefined;
      computation.prefetch(step, parts);
      this.#prefetched = begun === undefined ? undefined : [begun, markNow()];
    });
  }

  /**
   * Runs outside the queue, so that `leave` works while dialling; no other event can occur in the
   * meantime.
   */
  async #dial(afterMilliseconds: number): Promise<void> {
    const { dial, log, clock, random } = this.#options;
    let since = clock();
    try {
      const jittered = afterMilliseconds * (0.5 + random() / 2);
      if (jittered > 0) {
        await new Promise((resolve) => {
          this.#pause = setTimeout(resolve, jittered);
        });
      }
      since = clock();
      const description = fetchDescription(dial);
      // Code that only a connection needs is loaded while the coordinator answers.
      const loading = setImmediate().then(async () => import('./open-link.ts'));
      const [run, connection] = await Promise.all([description, loading]);
      const access = await this.#accessTo(run);
      this.#run = run;
      this.#frameBytes = run.frame_bytes;
      const socket = await connection.connect(dial, run);
      // `leave` was called while dialling.
      if (this.#state.phase === 'ended') return socket.webSocket.terminate();
      this.#link = connection.openLink(socket, run, access, clock, this.#linkEvents());
      this.#enqueue({ kind: 'opened', now: clock() });
    } catch (error) {
      if (!(error instanceof ClusterError)) return this.#reject(error);
      if (this.#state.phase === 'ended') return;
      log('debug', messageOf(error));
      this.#enqueue({ kind: 'failed', error, since, now: clock() });
    }
  }

  async #accessTo(run: RunDescription): Promise<HostAccess> {
    const { loadMemoryAddon, spin = 0 } = this.#options;
    return { addon: run.memory === undefined ? undefined : await loadMemoryAddon?.(), spin };
  }

  /** Joins the run that follows on this connection. Rejects if it needs another connection. */
  async #follow(id: string): Promise<void> {
    this.#link?.leaveMemory();
    const { dial, clock, log } = this.#options;
    const run = await fetchDescription(dial);
    if (run.run !== id)
      throw new ClusterError('UNREACHABLE', `the coordinator serves ${run.run}, not ${id}`);
    if (run.frame_bytes > this.#frameBytes)
      throw new ClusterError('UNREACHABLE', `the frames of ${id} need a new connection`);
    const { shareMemory } = await import('./open-link.ts');
    this.#run = run;
    this.#link?.enterMemory(shareMemory(run, await this.#accessTo(run), { log }));
    this.#enqueueLater({ kind: 'described', now: clock() });
  }

  async #prepare(): Promise<void> {
    assert(this.#run !== undefined, 'the run was described before the worker was admitted');
    const { dial, log } = this.#options;
    log('info', `connected to ${dial.coordinator.href}, run ${this.#run.run}`);
    await this.#compose(this.#run);
    const { fingerprint, engine } = this.#computing();
    this.#enqueueLater({ kind: 'prepared', fingerprint, engine, now: this.#options.clock() });
  }

  /** Prepares the computation, unless it was prepared for an equal configuration. */
  async #compose(run: RunDescription): Promise<void> {
    const wanted = JSON.stringify(run.configuration);
    if (this.#computation !== undefined && this.#computed === wanted) return;
    this.#computation = undefined;
    this.#computation = await this.#options.prepare(run);
    this.#computed = wanted;
  }

  #linkEvents(): LinkEvents {
    const { clock, log } = this.#options;
    return {
      message: (message, tensor) => this.#hear(message, tensor),
      failed: (error) => this.#enqueue({ kind: 'broken', error, now: clock() }),
      closed: (code) => {
        this.#link = undefined;
        this.#enqueue({ kind: 'closed', code, now: clock() });
      },
      isReady: () => this.#state.phase === 'ready',
      crashed: (error) => this.#reject(error),
      log,
    };
  }

  #disconnect(): void {
    this.#link?.close();
    this.#link = undefined;
  }
}
