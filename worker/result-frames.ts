import {
  CHECKSUM_BYTES,
  encodeBefore,
  MAX_FRAME_HEAD_BYTES,
  roomBytes,
  type TensorFrame,
} from '../shared/wire/frame.ts';
import { RESULT_FRAMES } from '../shared/limits.ts';
import type { ResultMessage } from '../shared/wire/messages.ts';
import type { Kernels } from '../shared/kernels/kernels.ts';

/** Room for one result: the engine writes `values`, `seal` makes them ready to go. */
export interface ResultFrame {
  readonly values: Float32Array;
  /** Computes the checksum; nothing may change until `free`. */
  seal(message: ResultMessage): Result;
}

/** A result on its way out. */
export interface Result {
  readonly message: ResultMessage;
  readonly body: Uint8Array;
  readonly checksum: bigint;
  /** Message and body in one frame, in place. */
  frame(): TensorFrame;
  readonly free: () => void;
}

/**
 * A few frames inside the kernels' memory, used again only when the socket no longer needs their
 * bytes.
 */
export class ResultFrames {
  readonly #free: ResultFrame[] = [];
  readonly #waiting: ((frame: ResultFrame) => void)[] = [];

  constructor(kernels: Kernels, floats: number) {
    for (let i = 0; i < RESULT_FRAMES; i++) this.#free.push(this.#create(kernels, floats));
  }

  /** The bytes of kernel memory that a pool needs. */
  static bytes(floats: number): number {
    return RESULT_FRAMES * (roomBytes(4 * floats) + 64);
  }

  /** A frame at once, or as soon as the socket has drained one. */
  take(): ResultFrame | Promise<ResultFrame> {
    return this.#free.pop() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  #create(kernels: Kernels, floats: number): ResultFrame {
    const bytes = roomBytes(4 * floats);
    const start = kernels.allocate(bytes);
    const at = start + MAX_FRAME_HEAD_BYTES;
    const room = kernels.bytes(start, bytes);
    const tail = new DataView(
      room.buffer,
      room.byteOffset + bytes - CHECKSUM_BYTES,
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
        return { message, body, checksum, frame: () => encodeBefore(room, message), free };
      },
    };
    return frame;
  }
}
