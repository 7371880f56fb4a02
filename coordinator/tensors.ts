import { hash } from 'node:crypto';
import type { Configuration } from '../shared/configuration.ts';
import { assert } from '../shared/errors.ts';
import {
  CHECKSUM_BYTES,
  encodeBefore,
  encodePointer,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
  type Tensor,
  type TensorFrame,
} from '../shared/wire/frame.ts';
import { SHARED_MEMORY_BUFFERS } from '../shared/limits.ts';
import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import type { ChannelPeer } from '../shared/wire/rendezvous.ts';
import type { SharedMemory } from '../shared/wire/shared-memory.ts';
import type { Node } from '../shared/arithmetic/tree.ts';
import { stateNames } from '../shared/arithmetic/optimizer.ts';
import { createKernels, type Kernels } from '../shared/kernels/kernels.ts';
import { createUpdate, type Update } from '../shared/kernels/update.ts';
import type { Checkpoint } from '../shared/files/checkpoint-file.ts';
import type { WeightsMessage } from './decisions/effects.ts';
import type { Verdict } from './decisions/events.ts';

const FLOAT_BYTES = 4;
const SLACK_BYTES = 64 * 1024;

/** The result of checking a received body. */
export type Receipt = Pick<Verdict, 'intact' | 'stale' | 'finite' | 'digest' | 'wrongClass'>;

/** What a checkpoint contains of a run's tensors. */
type TrainedState = Pick<Checkpoint, 'weights' | 'state'>;

/** The receipt for a body that cannot be used. */
export function broken(body: Tensor): Receipt {
  return { intact: false, stale: body.isStale(), finite: false, digest: undefined };
}

/**
 * One set of weights in a frame that is ready to send (header, P floats, checksum), and its buffer
 * in shared memory.
 */
interface WeightsBuffer {
  readonly index: number;
  readonly at: number;
  readonly buffer: Uint8Array;
  readonly checksum: DataView;
  /**
   * For each message in flight, the worker that still needs the frame or has not yet read the
   * shared buffer. While there are any, neither the frame nor the shared buffer may change.
   */
  readonly inFlight: Set<{ readonly slot: number }>;
  /** Whether shared memory holds these weights. */
  isShared: boolean;
  /** Increases with each update: the buffer with the lower version was sent first. */
  version: number;
}

/** The current weights, encoded once for several workers, and only in the forms that they need. */
export interface OutgoingWeights {
  readonly message: WeightsMessage;
  /** The weights themselves, in one frame. */
  frame(): TensorFrame;
  /** A frame that says where in shared memory the weights are. */
  pointer(): Buffer;
  /** Workers on this host that read the pointer in the channel, once all of them are known. */
  readonly peers: ChannelPeer[];
  /** Keeps the weights unchanged for this slot until the returned function is called. */
  hold(slot: number): () => void;
}

/**
 * A run's tensors, all in one WebAssembly memory: weights inside their frames, the optimizer's
 * state, and a pool of gradient buffers (P gradients and the loss). The reducers decide; this file
 * calculates.
 */
export class Tensors {
  readonly parameters: number;
  readonly #kernels: Kernels;
  readonly #update: Update;
  readonly #weights: readonly WeightsBuffer[];
  #current: WeightsBuffer;
  /** The addresses of the optimizer's vectors, in the order of `stateNames`. */
  readonly #state: readonly number[];
  readonly #free: number[];
  readonly #sums = new Map<Node, number>();
  #received: number;
  #checksum: bigint;
  readonly #memory: SharedMemory | undefined;
  /** The address of the last update's gradient; the next result may overwrite it. */
  #gradient: number | undefined;
  /** The norm of that gradient before it was clipped; undefined without clipping. */
  #norm: number | undefined;

  /** If `memory` is given, workers on this host can read the weights from it. */
  constructor(configuration: Configuration, initial: Float32Array, memory?: SharedMemory) {
    this.#memory = memory;
    this.parameters = parameterCount(configuration.model);
    const vectorBytes = (this.parameters + 1) * FLOAT_BYTES;
    const weightsBytes = frameCapacity(this.parameters * FLOAT_BYTES);
    const buffers = configuration.virtualShards + 1;
    const names = stateNames(configuration.optimizer);
    const kernels = createKernels(
      (buffers + names.length) * (vectorBytes + 64) +
        SHARED_MEMORY_BUFFERS * (weightsBytes + 64) +
        SLACK_BYTES,
    );
    this.#kernels = kernels;
    this.#update = createUpdate(kernels, configuration);
    const weights = Array.from({ length: SHARED_MEMORY_BUFFERS }, (_, index) =>
      this.#createBuffer(index, weightsBytes),
    );
    const [first] = weights;
    assert(first !== undefined, 'there is a weights frame');
    this.#weights = weights;
    this.#current = first;
    this.#state = names.map(() => kernels.allocate(vectorBytes));
    this.#free = Array.from({ length: buffers }, () => kernels.allocate(vectorBytes));
    this.#received = this.#take();
    this.#checksum = this.#set(initial);
  }

  /** The current weights, P floats: a view, invalidated by the next update. */
  weights(): Float32Array {
    return this.#kernels.floats(this.#current.at, this.parameters);
  }

  /** Copies of the current weights and the optimizer's state, P floats each. */
  snapshot(): TrainedState {
    const copy = (at: number) => this.#kernels.floats(at, this.parameters).slice();
    return { weights: copy(this.#current.at), state: this.#state.map(copy) };
  }

  /** Sets the weights and the optimizer's state. */
  restore({ weights, state }: TrainedState): void {
    assert(state.length === this.#state.length, 'the state is that of the optimizer');
    for (const [i, at] of this.#state.entries())
      this.#kernels.floats(at, this.parameters).set(state[i] ?? []);
    this.#set(weights);
  }

  /** Sets the weights: those of an evaluation, or those that a run begins with. */
  restoreWeights(weights: Float32Array): void {
    this.#set(weights);
  }

  /** Puts other weights into a free frame, which becomes the current one; false if none is free. */
  replace(weights: Float32Array): boolean {
    const target = this.#freeFrame();
    if (target === undefined) return false;
    target.isShared = false;
    target.version = this.#current.version + 1;
    this.#current = target;
    this.#set(weights);
    return true;
  }

  #freeFrame(): WeightsBuffer | undefined {
    return this.#weights.find((buffer) => buffer !== this.#current && buffer.inFlight.size === 0);
  }

  /** XXH64 of the current weights, as sent in their frame. */
  get checksum(): bigint {
    return this.#checksum;
  }

  /**
   * Copies in a gradient's body (P + 1 floats) and checks it. The gradient stays pending until
   * `accept`. Its SHA-256 takes another 0.2 ms.
   */
  receive(gradient: Tensor, isDigested: boolean): Receipt {
    const bytes = (this.parameters + 1) * FLOAT_BYTES;
    if (gradient.byteLength !== bytes) return broken(gradient);
    this.#gradient = undefined;
    if (!gradient.copyTo(this.#kernels.bytes(this.#received, bytes))) return broken(gradient);
    const actual = this.#kernels.check(this.#received, this.parameters + 1);
    if (actual.checksum !== gradient.checksum) return broken(gradient);
    const digest = isDigested
      ? hash('sha256', this.#kernels.bytes(this.#received, bytes), 'hex')
      : undefined;
    return { intact: true, stale: false, finite: actual.finite, digest };
  }

  /** Takes the gradient received last as the sum at `node`. */
  accept(node: Node): void {
    this.#sums.set(node, this.#received);
    this.#received = this.#take();
  }

  /** node = left + right, or left + 0 if the right subtree has only padding. */
  combine(node: Node, rightIsPadding: boolean): void {
    const left = this.#remove(2 * node);
    if (rightIsPadding) {
      this.#kernels.addZero(left, this.parameters + 1);
    } else {
      const right = this.#remove(2 * node + 1);
      this.#kernels.add(left, right, this.parameters + 1);
      this.#free.push(right);
    }
    this.#sums.set(node, left);
  }

  /** Drops the sum at `node`, whose parts are recomputed. */
  forget(node: Node): void {
    this.#free.push(this.#remove(node));
  }

  /**
   * Applies the update with the root's gradient, from the current frame into a free one. Returns
   * the batch's mean loss, or undefined if no frame is free. In that case, `slowest()` lists the
   * slots that still need the oldest frame.
   */
  update(root: Node, step: number): number | undefined {
    const target = this.#freeFrame();
    if (target === undefined) return undefined;
    const gradient = this.#remove(root);
    const loss = this.#kernels.floats(gradient + this.parameters * FLOAT_BYTES, 1)[0] ?? NaN;
    const { checksum, norm } = this.#update({
      step,
      from: this.#current.at,
      to: target.at,
      gradient,
      state: this.#state,
    });
    this.#checksum = checksum;
    this.#norm = norm;
    target.checksum.setBigUint64(0, this.#checksum, true);
    target.isShared = false;
    target.version = this.#current.version + 1;
    this.#free.push(gradient);
    this.#gradient = gradient;
    this.#current = target;
    return loss;
  }

  /**
   * Euclidean norm of the last update's gradient, before it was clipped; NaN once another result
   * has been received.
   */
  gradientNorm(): number {
    if (this.#gradient === undefined) return NaN;
    if (this.#norm !== undefined) return this.#norm;
    const gradient = this.#kernels.floats(this.#gradient, this.parameters);
    let sum = 0;
    for (let i = 0; i < gradient.length; i++) sum += (gradient[i] ?? 0) ** 2;
    return Math.sqrt(sum);
  }

  /** The slots that have not yet read the oldest frame that was sent. */
  slowest(): number[] {
    const held = this.#weights.filter(
      (buffer) => buffer !== this.#current && buffer.inFlight.size > 0,
    );
    const [oldest] = held.toSorted((a, b) => a.version - b.version);
    const slots = [...(oldest?.inFlight ?? [])].map(({ slot }) => slot);
    return [...new Set(slots)];
  }

  /** The current weights, for any number of workers. */
  outgoing(message: WeightsMessage): OutgoingWeights {
    const current = this.#current;
    const { buffer, inFlight, index } = current;
    // A frame that is still being sent is copied, since its header must not change while the socket
    // uses it.
    const isBusy = inFlight.size > 0;
    let frame: TensorFrame | undefined;
    let pointer: Buffer | undefined;
    return {
      message,
      peers: [],
      frame: () => (frame ??= encodeBefore(isBusy ? buffer.slice() : buffer, message)),
      pointer: () => {
        this.#share(current);
        return (pointer ??= encodePointer({ ...message, buffer: index }, this.#checksum));
      },
      hold: (slot) => {
        // An evaluation and the next step may send a worker the same weights.
        const message = { slot };
        inFlight.add(message);
        return () => void inFlight.delete(message);
      },
    };
  }

  #set(weights: Float32Array): bigint {
    this.weights().set(weights);
    this.#checksum = this.#kernels.checksum(this.#current.at, this.parameters * FLOAT_BYTES);
    this.#current.checksum.setBigUint64(0, this.#checksum, true);
    return this.#checksum;
  }

  #share(weights: WeightsBuffer): void {
    if (weights.isShared) return;
    assert(this.#memory !== undefined, 'workers read shared memory only if it is available');
    const bytes = this.parameters * FLOAT_BYTES;
    this.#memory.write(weights.index, this.#kernels.bytes(weights.at, bytes), this.#checksum);
    weights.isShared = true;
  }

  #createBuffer(index: number, bytes: number): WeightsBuffer {
    const start = this.#kernels.allocate(bytes);
    const buffer = this.#kernels.bytes(start, bytes);
    const checksum = new DataView(
      buffer.buffer,
      buffer.byteOffset + bytes - CHECKSUM_BYTES,
      CHECKSUM_BYTES,
    );
    const at = start + MAX_FRAME_HEAD_BYTES;
    return { index, at, buffer, checksum, inFlight: new Set(), isShared: false, version: 0 };
  }

  #take(): number {
    const buffer = this.#free.pop();
    assert(
      buffer !== undefined,
      'a gradient buffer is free: a step has at most V sums and one being received',
    );
    return buffer;
  }

  #remove(node: Node): number {
    const at = this.#sums.get(node);
    assert(at !== undefined, `the sum at node ${node} exists`);
    this.#sums.delete(node);
    return at;
  }
}
