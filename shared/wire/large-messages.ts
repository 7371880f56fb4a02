import type { Free } from './frame.ts';
import { MAX_HEADER_BYTES, MAX_LARGE_MESSAGE_BYTES } from '../limits.ts';
import { isOrdinary, isPlain, readHead, type WebSocketHead } from './websocket-head.ts';

const NOTHING = Buffer.alloc(0);

export interface LargeMessagesOptions {
  /** The bytes come from the side that masks. */
  readonly isFromClient: boolean;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly deliver: (message: Buffer, free: Free) => void;
  /** Whole frames, as they came, for ws. */
  readonly pass: (bytes: Buffer) => void;
  /** These bytes and all that follow are for ws. */
  readonly handOver: (bytes: Buffer) => void;
}

/**
 * Takes large binary messages out of the bytes that come, before ws sees them. ws gets the others,
 * pings and pongs; and at the first frame that is something else (close, text, a fragment, too
 * large, wrong) all that follows: what comes of it is for ws to say. ws would keep the pieces of a
 * message (over TLS one per 16 KiB) and join them at its end in memory that is new each time, and
 * so in no cache; here each piece is copied when it comes, to where the message before it was.
 */
export class LargeMessages {
  readonly #options: LargeMessagesOptions;
  /** Where the last message was that is no longer needed. */
  #spare: Buffer | undefined;
  /** The message that is coming, and how much of it has come. */
  #message: Buffer | undefined;
  #filled = 0;
  /** How much is missing of the frames that ws gets. */
  #passing = 0;
  /** The beginning of a head. */
  #begun = NOTHING;
  #isOver = false;

  constructor(options: LargeMessagesOptions) {
    this.#options = options;
  }

  take(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0 && !this.#isOver;) {
      if (this.#message !== undefined) rest = this.#fill(this.#message, rest);
      else if (this.#passing > 0) rest = this.#pass(rest);
      else rest = this.#begin(rest);
    }
  }

  #fill(message: Buffer, bytes: Buffer): Buffer {
    const [mine, rest] = split(bytes, message.length - this.#filled);
    message.set(mine, this.#filled);
    this.#filled += mine.length;
    if (this.#filled === message.length) {
      this.#message = undefined;
      this.#options.deliver(message, () => (this.#spare = message));
    }
    return rest;
  }

  #pass(bytes: Buffer): Buffer {
    const [its, rest] = split(bytes, this.#passing);
    this.#passing -= its.length;
    this.#options.pass(its);
    return rest;
  }

  #begin(more: Buffer): Buffer {
    const bytes = this.#begun.length === 0 ? more : Buffer.concat([this.#begun, more]);
    const head = readHead(bytes, 0);
    this.#begun = head === undefined ? Buffer.from(bytes) : NOTHING;
    if (head === undefined) return NOTHING;
    if (!this.#isOrdinary(head)) {
      this.#isOver = true;
      this.#options.handOver(bytes);
      return NOTHING;
    }
    if (this.#isLarge(head)) {
      this.#message = this.#room(head.payloadBytes);
      this.#filled = 0;
      return bytes.subarray(head.headBytes);
    }
    this.#passing = this.#endOfSmall(bytes, head);
    return bytes;
  }

  /** Where the small messages end that begin here, of which there may be many. */
  #endOfSmall(bytes: Buffer, first: WebSocketHead): number {
    let end = 0;
    let head: WebSocketHead | undefined = first;
    while (head !== undefined && this.#isOrdinary(head) && !this.#isLarge(head)) {
      end += head.headBytes + head.payloadBytes;
      head = readHead(bytes, end);
    }
    return end;
  }

  #isOrdinary(head: WebSocketHead): boolean {
    return isOrdinary(head, this.#options.isFromClient, this.#options.maxBytes);
  }

  #isLarge(head: WebSocketHead): boolean {
    return head.payloadBytes >= this.#options.minBytes && isPlain(head);
  }

  #room(bytes: number): Buffer {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined && spare.buffer.byteLength >= bytes)
      return Buffer.from(spare.buffer, 0, bytes);
    // Frames differ in length by a few bytes from step to step.
    const memory = Buffer.allocUnsafeSlow(
      Math.min(bytes + MAX_HEADER_BYTES, MAX_LARGE_MESSAGE_BYTES),
    );
    return memory.subarray(0, bytes);
  }
}

/** At most `count` bytes, and the rest. Most pieces are needed whole. */
function split(bytes: Buffer, count: number): [Buffer, Buffer] {
  return bytes.length <= count
    ? [bytes, NOTHING]
    : [bytes.subarray(0, count), bytes.subarray(count)];
}
