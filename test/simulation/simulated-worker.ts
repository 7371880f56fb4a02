import { check } from '../../shared/kernels/reference-kernels.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { judgingSet } from '../../shared/evaluation/judgement.ts';
import { ClusterError, unreachable } from '../../shared/errors.ts';
import { encodeHeader, encodePointer, type Tensor } from '../../shared/wire/frame.ts';
import * as limits from '../../shared/limits.ts';
import {
  coordinatorMessage,
  type ResultMessage,
  type WorkerMessage,
} from '../../shared/wire/messages.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { receive } from '../../shared/wire/receive.ts';
import type { MemoryAddress } from '../../shared/wire/shared-memory.ts';
import { shardCount } from '../../shared/arithmetic/tree.ts';
import { HostMemory } from '../../worker/host-memory.ts';
import { initialSession, reduceSession } from '../../worker/session.ts';
import type { SessionEffect, SessionEvent, SessionState } from '../../worker/session.ts';
import { isAskable, predictionsOf, sumOf } from './model.ts';
import type { Random } from '../fixtures/seeded-random.ts';
import type { VirtualTime } from './virtual-time.ts';
import type { Wire } from './wire.ts';
import { engineFixture } from '../fixtures/engine-identity.ts';
import { tensorFrame } from '../fixtures/tensor-frame.ts';

const PREPARE_MILLISECONDS = 50;
const RESTART_MILLISECONDS = 1_000;

export interface WorkerWorld {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly configuration: Configuration;
  /** Whether some of the workers' results are audited. */
  readonly isAudited: boolean;
  /** A connection to the coordinator; undefined while none is listening. */
  connect(worker: SimulatedWorker): Connected | undefined;
  /** A worker has ended on its own. `error` says why; undefined if the run is finished. */
  ended(worker: SimulatedWorker, error: ClusterError | undefined): void;
}

/**
 * The result of dialing: a connection and, if the coordinator is on the same host, the address of
 * its shared memory.
 */
export interface Connected {
  readonly wire: Wire;
  readonly memory: MemoryAddress | undefined;
}

interface Queued {
  readonly event: SessionEvent;
  readonly tensor?: Tensor | undefined;
}

/**
 * A worker's process: the real session reducer, a shell that runs in simulated time, and the
 * supervisor that restarts it. The simulation switches its faults on.
 */
export class SimulatedWorker {
  readonly name: string;
  /** How many milliseconds one shard takes. */
  shardMilliseconds: number;
  /** Whether each result is sent twice. */
  isRepeating = false;
  /** Whether each gradient is followed by a wrong one. */
  isWavering = false;
  /** Whether each gradient is wrong. */
  isLying = false;
  /** How many wrong gradients the worker has sent on purpose. */
  lies = 0;
  /** How often weights were replaced in shared memory before the worker had read them. */
  stale = 0;
  /** Whether the next gradient is not finite. */
  isBroken = false;
  wasBroken = false;
  readonly #world: WorkerWorld;
  #state: SessionState;
  /** Counts starts and kills, so that tasks of an earlier process are dropped. */
  #life = 0;
  #wire: Wire | undefined;
  #memory: HostMemory | undefined;
  #heard = 0;
  #weights = new Float32Array(0);
  #queue: Queued[] = [];
  /** Handlers of the frames that wait in its socket's buffer. */
  #inbox: (() => void)[] = [];
  #isTaking = false;
  #stalledFrom = 0;
  #stalledUntil = 0;
  /** How long the process was suspended in total, without the current stop. */
  #asleep = 0;

  constructor(world: WorkerWorld, name: string, shardMilliseconds: number) {
    this.#world = world;
    this.name = name;
    this.shardMilliseconds = shardMilliseconds;
    this.#state = this.#fresh();
  }

  get isAudited(): boolean {
    return this.#world.isAudited;
  }

  get wire(): Wire | undefined {
    return this.#wire;
  }

  start(): void {
    this.#life += 1;
    this.#state = this.#fresh();
    this.#queue = [];
    this.#inbox = [];
    this.#isTaking = false;
    this.#later(limits.HEARTBEAT_INTERVAL_MILLISECONDS, () => this.#beat());
    this.#enqueue({ kind: 'start', now: this.#now() });
  }

  /** SIGKILL; the supervisor restarts the worker. */
  crash(restartMilliseconds = RESTART_MILLISECONDS): void {
    this.kill();
    this.#world.time.after(restartMilliseconds, () => this.start());
  }

  kill(): void {
    this.#life += 1;
    this.#wire?.cut();
    this.#forget();
  }

  #forget(): void {
    this.#wire = undefined;
    this.#memory?.close();
    this.#memory = undefined;
  }

  get isCorrupt(): boolean {
    return this.isLying || this.isWavering;
  }

  /** Replaces the worker's faulty memory and restarts it. */
  repair(): void {
    this.isLying = false;
    this.isWavering = false;
    this.crash();
  }

  /** SIGSTOP, and SIGCONT later. */
  stall(milliseconds: number): void {
    const now = this.#world.time.now();
    if (this.#stalledUntil < now) {
      this.#asleep = this.#asleepBy(now);
      this.#stalledFrom = now;
      this.#stalledUntil = now;
    }
    this.#stalledUntil = Math.max(this.#stalledUntil, now + milliseconds);
  }

  #asleepBy(time: number): number {
    const stalled = Math.min(time, this.#stalledUntil) - this.#stalledFrom;
    return this.#asleep + (stalled < limits.SUSPENSION_MILLISECONDS ? 0 : stalled);
  }

  #fresh(): SessionState {
    return initialSession({
      name: this.name,
      version: '0',
      maxRetries: Infinity,
      maxWaitMilliseconds: Infinity,
      prepareLimitMilliseconds: 10_000,
    });
  }

  /** The time as shared/clock.ts measures it: a short stop goes unnoticed. */
  #now(): number {
    const now = this.#world.time.now();
    return now - this.#asleepBy(now);
  }

  /**
   * Runs the task after this time, or once the process is no longer stopped; not at all if the
   * process ends first.
   */
  #later(milliseconds: number, task: () => void): void {
    const life = this.#life;
    const run = (): void => {
      if (life !== this.#life) return;
      const stalled = this.#stalledUntil - this.#world.time.now();
      if (stalled > 0) this.#world.time.after(stalled, run);
      else task();
    };
    this.#world.time.after(milliseconds, run);
  }

  /** Handles an arrival once the process is not stopped; arrivals stay in order. */
  #takeFromSocket(take: () => void): void {
    this.#inbox.push(take);
    this.#later(0, () => this.#inbox.shift()?.());
  }

  #enqueue(event: SessionEvent, tensor?: Tensor): void {
    this.#queue.push({ event, tensor });
    if (!this.#isTaking) this.#take();
  }

  /**
   * A process does one thing at a time: the next event waits until the work for this one is done.
   */
  #take(): void {
    const next = this.#queue.shift();
    this.#isTaking = next !== undefined;
    if (next === undefined) return;
    const { state, effects } = reduceSession(this.#state, next.event);
    this.#state = state;
    const life = this.#life;
    let busy = 0;
    try {
      for (const effect of effects) busy = this.#perform(effect, next.tensor, busy);
    } catch (error) {
      // Computing throws if the step has no weights; the session then fails, as in a real worker.
      if (!(error instanceof ClusterError)) throw error;
      this.#queue.unshift({ event: { kind: 'failed', error, now: this.#now() } });
    }
    if (life === this.#life) this.#later(busy, () => this.#take());
  }

  /**
   * Performs the effect. Returns how many milliseconds from now the process will have finished it.
   */
  #perform(effect: SessionEffect, tensor: Tensor | undefined, busy: number): number {
    switch (effect.kind) {
      case 'dial':
        this.#later(effect.afterMilliseconds * this.#world.random.between(0.5, 1), () =>
          this.#dial(),
        );
        return busy;
      case 'send':
        this.#send(effect.message);
        return busy;
      case 'follow':
        throw new Error('a simulated coordinator has only one run');
      case 'prepare':
        this.#later(busy + PREPARE_MILLISECONDS, () => this.#prepared());
        return busy + PREPARE_MILLISECONDS;
      case 'takeWeights':
        this.#takeWeights(tensor);
        return busy;
      case 'compute':
        return this.#compute(effect, busy);
      case 'prefetch':
        return busy;
      case 'disconnect':
        this.#disconnect();
        return busy;
      case 'end':
        this.#end(effect.error);
        return busy;
      default:
        return unreachable(effect);
    }
  }

  #dial(): void {
    const connected = this.#world.connect(this);
    if (connected === undefined) {
      const error = new ClusterError('UNREACHABLE', 'no coordinator is listening');
      return this.#enqueue({ kind: 'failed', error, now: this.#now() });
    }
    const { wire, memory } = connected;
    this.#wire = wire;
    if (memory !== undefined)
      this.#memory = new HostMemory(memory, parameterCount(this.#world.configuration.model));
    this.#heard = this.#now();
    const isCurrent = (): boolean => this.#wire === wire;
    wire.attach('worker', {
      receive: (frame) =>
        this.#takeFromSocket(() => {
          if (isCurrent()) this.#hear(frame);
        }),
      closed: (code) =>
        this.#takeFromSocket(() => {
          if (!isCurrent()) return;
          this.#forget();
          this.#enqueue({ kind: 'closed', code, now: this.#now() });
        }),
    });
    this.#enqueue({ kind: 'opened', now: this.#now() });
  }

  #hear(frame: Buffer): void {
    this.#heard = this.#now();
    try {
      const lookUp = (buffer: number, checksum: bigint) => this.#memory?.weights(buffer, checksum);
      const { message, tensor } = receive(coordinatorMessage, frame, true, lookUp);
      this.#enqueue({ kind: 'message', message, now: this.#now() }, tensor);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.#enqueue({ kind: 'broken', error, now: this.#now() });
    }
  }

  #prepared(): void {
    this.#enqueue({
      kind: 'prepared',
      fingerprint: 'f'.repeat(64),
      engine: engineFixture,
      now: this.#now(),
    });
  }

  /**
   * If the weights were replaced in shared memory before they were read, the worker dials again.
   */
  #takeWeights(tensor: Tensor | undefined): void {
    this.#memory?.begin();
    const weights = new Float32Array(parameterCount(this.#world.configuration.model));
    if (tensor?.byteLength !== weights.byteLength)
      throw new Error('the weights have the wrong length');
    const isWhole = tensor.copyTo(new Uint8Array(weights.buffer));
    if (!isWhole || check(weights).checksum !== tensor.checksum) {
      if (tensor.isStale()) {
        this.stale += 1;
        throw new ClusterError('TIMEOUT', 'the weights were replaced');
      }
      throw new Error('the weights changed in transit');
    }
    this.#weights = weights;
  }

  #send(message: WorkerMessage): void {
    const memory = message.kind === 'ready' ? this.#memory?.address : undefined;
    this.#wire?.send(
      'coordinator',
      encodeHeader(memory === undefined ? message : { ...message, memory }),
    );
  }

  #compute(
    { task, step, parts }: Extract<SessionEffect, { kind: 'compute' }>,
    busy: number,
  ): number {
    const { configuration } = this.#world;
    const { run, term } = this.#state;
    const weights = this.#weights;
    let at = busy;
    for (const part of parts) {
      const shards = task === 'step' ? shardCount(part, configuration.virtualShards) : 1;
      const milliseconds = this.shardMilliseconds * shards;
      at += milliseconds;
      const fence = { run, term, step, part, microseconds: Math.round(1000 * milliseconds) };
      if (task !== 'step') {
        const values = predictionsOf(configuration, weights, task, part);
        const message = { kind: 'predictions', set: task, ...fence } as const;
        // Only evaluations that decide are audited.
        const isLie = this.isLying && task === judgingSet(configuration);
        const given = isLie ? values.with(1, this.#world.random.between(1, 2)) : values;
        if (isLie) this.lies += 1;
        this.#later(at, () => this.#sendResult(message, given));
        continue;
      }
      if (!isAskable(configuration, step, part))
        throw new Error(`asked for node ${part}, which contains padding`);
      const { values, correct } = sumOf(configuration, weights, step, part);
      if (this.isBroken) values[0] = NaN;
      this.isBroken = false;
      // No two workers make the same mistake.
      const wrong = values.with(0, this.#world.random.between(1, 2));
      const given = this.isLying ? wrong : values;
      if (this.isLying) this.lies += 1;
      const message = { kind: 'gradient', ...fence, correct } as const;
      const isWavering = this.isWavering && !values.includes(NaN);
      this.#later(at, () => {
        this.#sendResult(message, given);
        if (isWavering) this.#wire?.send('coordinator', frameOf(message, wrong));
      });
    }
    return at;
  }

  #sendResult(message: ResultMessage, values: Float32Array): void {
    const { checksum } = check(values);
    const bytes = new Uint8Array(values.buffer);
    const buffer = message.kind === 'gradient' ? this.#memory?.put(bytes, checksum) : undefined;
    const frame =
      buffer === undefined
        ? frameOf(message, values)
        : encodePointer({ ...message, buffer }, checksum);
    this.#wire?.send('coordinator', frame);
    // Without another worker, a second NaN would count as a fault in the model.
    if (this.isRepeating && !values.includes(NaN)) this.#wire?.send('coordinator', frame);
  }

  #beat(): void {
    this.#later(limits.HEARTBEAT_INTERVAL_MILLISECONDS, () => this.#beat());
    if (this.#wire === undefined) return;
    if (this.#state.phase === 'ready')
      this.#wire.send('coordinator', encodeHeader({ kind: 'heartbeat' }));
    if (this.#now() - this.#heard < limits.IDLE_LIMIT_MILLISECONDS) return;
    const error = new ClusterError('TIMEOUT', 'the coordinator was silent');
    this.#enqueue({ kind: 'broken', error, now: this.#now() });
  }

  #disconnect(): void {
    this.#wire?.close('worker', 1000, '');
    this.#forget();
  }

  #end(error: ClusterError | undefined): void {
    this.#world.ended(this, error);
  }
}

function frameOf(message: ResultMessage, values: Float32Array): Buffer {
  return tensorFrame(message, values, check(values).checksum);
}
