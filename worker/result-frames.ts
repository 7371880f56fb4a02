import {
  CHECKSUM_BYTES,
  encodeBefore,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
  type TensorFrame,
} from '../shared/wire/frame.ts';
import { RESULT_FRAMES } from '../shared/limits.ts';
import type { ResultMessage } from '../shared/wire/messages.ts';
import type { Kernels } from '../shared/kernels/kernels.ts';

/** Memory for one result: the engine writes `values`, and `seal` prepares the frame for sending. */
export interface ResultFrame {
  readonly values: Float32Array;
  /** Computes the checksum. The memory must not change until `free` is called. */
  seal(message: ResultMessage): Result;
}

/** A result to send. */
export interface Result {
  readonly message: ResultMessage;
  readonly body: Uint8Array;
  readonly checksum: bigint;
  /** The message and the body as one frame, without a copy. */
  frame(): TensorFrame;
  readonly free: () => void;
}

/**
 * A pool of frames in the kernels' memory. A frame is reused once the socket no longer needs its
 * bytes.
 */
export class ResultFrames {
  readonly #free: ResultFrame[] = [];
  readonly #waiting: ((frame: ResultFrame) => void)[] = [];

  constructor(kernels: Kernels, floats: number) {
    for (let i = 0; i < RESULT_FRAMES; i++) this.#free.push(this.#create(kernels, floats));
  }

  /** Kernel memory that a pool uses, in bytes. */
  static bytes(floats: number): number {
    return RESULT_FRAMES * (frameCapacity(4 * floats) + 64);
  }

  /** A free frame, or a promise of the next one that is released. */
  take(): ResultFrame | Promise<ResultFrame> {
    return this.#free.pop() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  #create(kernels: Kernels, floats: number): ResultFrame {
    const bytes = frameCapacity(4 * floats);
    const start = kernels.allocate(bytes);
    const at = start + MAX_FRAME_HEAD_BYTES;
    const buffer = kernels.bytes(start, bytes);
    const tail = new DataView(
      buffer.buffer,
      buffer.byteOffset + bytes - CHECKSUM_BYTES,
      CHECKSUM_BYTES,
    );
    const body = kernels.bytes(at, 4 * floats);
    const free = () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(frame);
      else next(frame);
    };
    const frame: ResultFrame = {
      values: kernels.floats(at, floats),
      seal: (message) => {
        const { checksum } = kernels.check(at, floats);
        tail.setBigUint64(0, checksum, true);
        return { message, body, checksum, frame: () => encodeBefore(buffer, message), free };
      },
    };
    return frame;
  }
}
