import type { Configuration } from '../shared/configuration.ts';
import { assert } from '../shared/errors.ts';
import { CHECKSUM_BYTES, encodeBefore, MAX_FRAME_HEAD_BYTES, roomBytes } from '../shared/frame.ts';
import { WEIGHTS_FRAMES } from '../shared/limits.ts';
import { parameterCount } from '../shared/model.ts';
import type { Node } from '../shared/tree.ts';
import { adamRate, createKernels, type Kernels } from '../kernels/kernels.ts';
import type { WeightsMessage } from './state.ts';

const FLOAT_BYTES = 4;
const SLACK_BYTES = 64 * 1024;

/** One set of weights inside a frame, ready to send: head, P floats, checksum. */
interface WeightsRoom {
  readonly at: number;
  readonly room: Uint8Array;
  readonly checksum: DataView;
  /** Slots whose socket has not taken the whole frame yet; the room must not change before. */
  readonly inFlight: Set<number>;
}

/**
 * All tensors of a run, in one WebAssembly memory: weights inside their frames, Adam's moments, and a pool of gradient
 * buffers (P gradients and the loss). The reducers decide, this file calculates.
 */
export class Tensors {
  readonly parameters: number;
  readonly #configuration: Configuration;
  readonly #kernels: Kernels;
  readonly #rooms: readonly WeightsRoom[];
  #current: WeightsRoom;
  readonly #firstMoment: number;
  readonly #secondMoment: number;
  readonly #free: number[];
  readonly #sums = new Map<Node, number>();
  #received: number;
  #checksum: bigint;

  constructor(configuration: Configuration, initial: Float32Array) {
    this.#configuration = configuration;
    this.parameters = parameterCount(configuration.model);
    const vectorBytes = (this.parameters + 1) * FLOAT_BYTES;
    const weightsRoom = roomBytes(this.parameters * FLOAT_BYTES);
    const buffers = configuration.virtualShards + 1;
    const kernels = createKernels(
      (buffers + 2) * (vectorBytes + 64) + WEIGHTS_FRAMES * (weightsRoom + 64) + SLACK_BYTES,
    );
    this.#kernels = kernels;
    const rooms = Array.from({ length: WEIGHTS_FRAMES }, () => this.#createRoom(weightsRoom));
    const [first] = rooms;
    assert(first !== undefined, 'there is a weights frame');
    this.#rooms = rooms;
    this.#current = first;
    this.#firstMoment = kernels.allocate(vectorBytes);
    this.#secondMoment = kernels.allocate(vectorBytes);
    this.#free = Array.from({ length: buffers }, () => kernels.allocate(vectorBytes));
    this.#received = this.#take();
    this.weights().set(initial);
    this.#checksum = kernels.checksum(first.at, this.parameters * FLOAT_BYTES);
    first.checksum.setBigUint64(0, this.#checksum, true);
  }

  /** The current weights, P floats; a view that the next update leaves behind. */
  weights(): Float32Array {
    return this.#kernels.floats(this.#current.at, this.parameters);
  }

  /** XXH64 of the current weights, as their frame carries it. */
  get checksum(): bigint {
    return this.#checksum;
  }

  /** Copies a gradient's body (P + 1 floats) in and checks it; it stays pending until `accept`. */
  receive(body: Uint8Array, checksum: bigint): { intact: boolean; finite: boolean } {
    const bytes = (this.parameters + 1) * FLOAT_BYTES;
    if (body.byteLength !== bytes) return { intact: false, finite: false };
    this.#kernels.bytes(this.#received, bytes).set(body);
    const actual = this.#kernels.check(this.#received, this.parameters + 1);
    return { intact: actual.checksum === checksum, finite: actual.finite };
  }

  /** The gradient received last is the sum at `node`. */
  accept(node: Node): void {
    this.#sums.set(node, this.#received);
    this.#received = this.#take();
  }

  /** node = left + right; + 0 where the right subtree holds padding only. */
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

  /**
   * Adam with the root's gradient, from the current frame into a free one. Returns the batch's mean loss, or undefined
   * when no frame is free: then `slowest()` names whose connections hold one back.
   */
  update(root: Node, step: number): number | undefined {
    const target = this.#rooms.find((room) => room !== this.#current && room.inFlight.size === 0);
    if (target === undefined) return undefined;
    const { beta1, beta2, epsilon, learningRate } = this.#configuration;
    const gradient = this.#remove(root);
    const loss = this.#kernels.floats(gradient + this.parameters * FLOAT_BYTES, 1)[0] ?? NaN;
    this.#checksum = this.#kernels.adam({
      ...{ from: this.#current.at, to: target.at, gradient, count: this.parameters },
      ...{ firstMoment: this.#firstMoment, secondMoment: this.#secondMoment, beta1, beta2, epsilon },
      rate: adamRate(learningRate, beta1, beta2, step),
    });
    target.checksum.setBigUint64(0, this.#checksum, true);
    this.#free.push(gradient);
    this.#current = target;
    return loss;
  }

  /** Slots that hold back the frame which was sent longest ago. */
  slowest(): number[] {
    const held = this.#rooms.find((room) => room !== this.#current && room.inFlight.size > 0);
    return [...(held?.inFlight ?? [])];
  }

  /** The current weights as one frame. A frame still on its way is copied, never changed. */
  frame(message: WeightsMessage): { frame: Buffer; sending: (slot: number) => () => void } {
    const { room, inFlight } = this.#current;
    if (inFlight.size > 0)
      return { frame: encodeBefore(room.slice(), message), sending: () => () => undefined };
    const sending = (slot: number) => {
      inFlight.add(slot);
      return () => void inFlight.delete(slot);
    };
    return { frame: encodeBefore(room, message), sending };
  }

  #createRoom(bytes: number): WeightsRoom {
    const start = this.#kernels.allocate(bytes);
    const room = this.#kernels.bytes(start, bytes);
    const checksum = new DataView(room.buffer, room.byteOffset + bytes - CHECKSUM_BYTES, CHECKSUM_BYTES);
    return { at: start + MAX_FRAME_HEAD_BYTES, room, checksum, inFlight: new Set() };
  }

  #take(): number {
    const buffer = this.#free.pop();
    assert(buffer !== undefined, 'a gradient buffer is free: a step has at most V sums and one in hand');
    return buffer;
  }

  #remove(node: Node): number {
    const at = this.#sums.get(node);
    assert(at !== undefined, `the sum at node ${node} is there`);
    this.#sums.delete(node);
    return at;
  }
}
