import type { Free } from './frame.ts';
import { MAX_HEADER_BYTES, MAX_LARGE_MESSAGE_BYTES } from '../limits.ts';
import { isOrdinary, isPlain, readHead, type WebSocketHead } from './websocket-head.ts';

const NOTHING = Buffer.alloc(0);

export interface LargeMessagesOptions {
  /** Whether the bytes come from a client, which masks its frames. */
  readonly isFromClient: boolean;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly deliver: (message: Buffer, free: Free) => void;
  /** Passes the other frames to ws, unchanged. */
  readonly pass: (bytes: Buffer) => void;
  /** Passes these bytes to ws, which reads the socket itself from then on. */
  readonly handOver: (bytes: Buffer) => void;
}

/**
 * Takes large binary messages out of the incoming bytes before ws sees them. ws gets the other
 * messages, pings and pongs. At the first frame of any other kind (close, text, a fragment, too
 * large, malformed), ws takes over. ws would be slow for tensors: it keeps the pieces of a message
 * (one per 16 KiB over TLS) and joins them in newly allocated memory, which is not in any CPU
 * cache. Here, each piece is copied on arrival into memory that an earlier message used.
 */
export class LargeMessages {
  readonly #options: LargeMessagesOptions;
  /** Memory of an earlier message, released for reuse. */
  #spare: Buffer | undefined;
  /** The message that is being received, and how many of its bytes have arrived. */
  #message: Buffer | undefined;
  #filled = 0;
  /** How many bytes that belong to ws have not arrived yet. */
  #passing = 0;
  /** The beginning of an incomplete WebSocket header. */
  #partialHead = NOTHING;
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
    const [part, rest] = split(bytes, message.length - this.#filled);
    message.set(part, this.#filled);
    this.#filled += part.length;
    if (this.#filled === message.length) {
      this.#message = undefined;
      this.#options.deliver(message, () => (this.#spare = message));
    }
    return rest;
  }

  #pass(bytes: Buffer): Buffer {
    const [passed, rest] = split(bytes, this.#passing);
    this.#passing -= passed.length;
    this.#options.pass(passed);
    return rest;
  }

  #begin(more: Buffer): Buffer {
    const bytes = this.#partialHead.length === 0 ? more : Buffer.concat([this.#partialHead, more]);
    const head = readHead(bytes, 0);
    this.#partialHead = head === undefined ? Buffer.from(bytes) : NOTHING;
    if (head === undefined) return NOTHING;
    if (!this.#isOrdinary(head)) {
      this.#isOver = true;
      this.#options.handOver(bytes);
      return NOTHING;
    }
    if (this.#isLarge(head)) {
      this.#message = this.#buffer(head.payloadBytes);
      this.#filled = 0;
      return bytes.subarray(head.headBytes);
    }
    this.#passing = this.#endOfSmall(bytes, head);
    return bytes;
  }

  /** The offset at which the small messages at the beginning of `bytes` end; there may be many. */
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

  #buffer(bytes: number): Buffer {
    const spare = this.#spare;
    this.#spare = undefined;
    if (spare !== undefined && spare.buffer.byteLength >= bytes)
      return Buffer.from(spare.buffer, 0, bytes);
    // Frame lengths differ by a few bytes from step to step, so the memory gets some room to spare.
    const memory = Buffer.allocUnsafeSlow(
      Math.min(bytes + MAX_HEADER_BYTES, MAX_LARGE_MESSAGE_BYTES),
    );
    return memory.subarray(0, bytes);
  }
}

/** At most the first `count` bytes, and the rest. */
function split(bytes: Buffer, count: number): [Buffer, Buffer] {
  return bytes.length <= count
    ? [bytes, NOTHING]
    : [bytes.subarray(0, count), bytes.subarray(count)];
}
