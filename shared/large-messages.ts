import type { Free } from './frame.ts';
import { MAX_LARGE_MESSAGE_BYTES } from './limits.ts';
import { isFragment, isLargeHead, readHead } from './websocket-head.ts';

const NOTHING = Buffer.alloc(0);

/**
 * Takes large binary messages out of the bytes that come, before ws sees them; everything else is left to ws, byte for
 * byte: small messages, control frames, fragments, and whatever is wrong. ws would keep the pieces of a message (over
 * TLS one per 16 KiB) and join them at its end in memory that is new each time, and so in no cache; here each piece is
 * copied when it comes, to where the message before it was.
 */
export class LargeMessages {
  readonly #isFromClient: boolean;
  readonly #maxBytes: number;
  readonly #leave: (bytes: Buffer) => void;
  readonly #deliver: (message: Buffer, free: Free) => void;
  /** Where the last message was that is no longer needed. */
  #spare: Buffer | undefined;
  /** The message that is coming, and how much of it has come. */
  #message: Buffer | undefined;
  #filled = 0;
  /** Bytes of the current frame that are for ws. */
  #left = 0;
  /** The beginning of a head. */
  #begun = NOTHING;

  /**
   * `isFromClient`: the bytes come from the side that masks. Messages of more than `maxBytes` or MAX_LARGE_MESSAGE_BYTES
   * are left.
   */
  constructor(
    isFromClient: boolean,
    maxBytes: number,
    leave: (bytes: Buffer) => void,
    deliver: (message: Buffer, free: Free) => void,
  ) {
    this.#isFromClient = isFromClient;
    this.#maxBytes = Math.min(maxBytes, MAX_LARGE_MESSAGE_BYTES);
    this.#leave = leave;
    this.#deliver = deliver;
  }

  take(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#message !== undefined) rest = this.#fill(this.#message, rest);
      else if (this.#left > 0) rest = this.#pass(rest);
      else rest = this.#begin(rest);
    }
  }

  #fill(message: Buffer, bytes: Buffer): Buffer {
    const [mine, rest] = split(bytes, message.length - this.#filled);
    message.set(mine, this.#filled);
    this.#filled += mine.length;
    if (this.#filled === message.length) {
      this.#message = undefined;
      this.#deliver(message, () => (this.#spare = message));
    }
    return rest;
  }

  #pass(bytes: Buffer): Buffer {
    const [its, rest] = split(bytes, this.#left);
    this.#left -= its.length;
    this.#leave(its);
    return rest;
  }

  #begin(more: Buffer): Buffer {
    const bytes = this.#begun.length === 0 ? more : Buffer.concat([this.#begun, more]);
    const head = readHead(bytes);
    this.#begun = head === undefined ? Buffer.from(bytes) : NOTHING;
    if (head === undefined) return NOTHING;
    const { headBytes, payloadBytes } = head;
    if (isLargeHead(head, this.#isFromClient) && payloadBytes > 0 && payloadBytes <= this.#maxBytes) {
      this.#message = this.#room(payloadBytes);
      this.#filled = 0;
      return bytes.subarray(headBytes);
    }
    // What may come between fragments, and what is an error there, is for ws to know: it gets all that follows.
    this.#left = isFragment(head) ? Infinity : headBytes + payloadBytes;
    return bytes;
  }

  #room(bytes: number): Buffer {
    const spare = this.#spare;
    this.#spare = undefined;
    // Heads differ in length by a few bytes from step to step.
    const memory = spare !== undefined && spare.buffer.byteLength >= bytes ? spare.buffer : allocate(bytes);
    return Buffer.from(memory, 0, bytes);
  }
}

/** At most `count` bytes, and the rest. Most pieces are needed whole. */
function split(bytes: Buffer, count: number): [Buffer, Buffer] {
  return bytes.length <= count ? [bytes, NOTHING] : [bytes.subarray(0, count), bytes.subarray(count)];
}

function allocate(bytes: number): ArrayBufferLike {
  return Buffer.allocUnsafeSlow(Math.min(bytes + 4096, MAX_LARGE_MESSAGE_BYTES)).buffer;
}
