import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { WebSocket, type RawData } from 'ws';
import { assert } from './errors.ts';
import type { Free, TensorFrame } from './frame.ts';
import { LargeMessages } from './large-messages.ts';
import { largeHead } from './websocket-head.ts';

/**
 * What TLS encrypts first of a large message, in bytes: six of its records. It would encrypt all of a write before it
 * sends a byte, and the other side would wait idly; more than two writes would be joined, which is a copy.
 */
const FIRST_WRITE_BYTES = 6 * 16 * 1024;
/** Shorter messages have another head, and gain nothing. */
const MIN_LARGE_BYTES = 64 * 1024;

/** Where there is a `free`, it gives the memory of `data` back; what is not given back, the garbage collector takes. */
export type OnMessage = (data: RawData, isBinary: boolean, free?: Free) => void;

/**
 * A WebSocket on which tensors take a shorter way: frames are written in one piece with the WebSocket's own head, where
 * ws would write two (which TLS joins, a copy), and large messages are put together in memory that is used again.
 */
export class FrameSocket {
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  readonly #isClient: boolean;
  #onMessage: OnMessage = () => undefined;

  /** To be made in the turn in which `webSocket` opens, before a byte is read from `socket`, the one below it. */
  constructor(webSocket: WebSocket, socket: Socket, side: 'client' | 'server', maxMessageBytes: number) {
    this.webSocket = webSocket;
    this.socket = socket;
    this.#isClient = side === 'client';
    const [toWebSocket, ...others] = socket.listeners('data');
    assert(toWebSocket !== undefined && others.length === 0, 'ws alone reads the socket');
    const large = new LargeMessages(
      !this.#isClient,
      maxMessageBytes,
      (bytes) => void Reflect.apply(toWebSocket, socket, [bytes]),
      (message, free) => this.#onMessage(message, true, free),
    );
    socket.removeAllListeners('data');
    socket.on('data', (bytes: Buffer) => large.take(bytes));
    webSocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
  }

  /** Messages that come before are dropped. */
  onMessage(handle: OnMessage): void {
    this.#onMessage = handle;
  }

  send(frame: Buffer, sent?: () => void): void {
    this.webSocket.send(frame, sent);
  }

  /** Nothing of the frame's room may change until `sent` is called, which always happens. */
  sendTensor(frame: TensorFrame, sent: () => void): void {
    const { bytes } = frame;
    // ws knows what to do on a socket that closes, and how to frame what is short.
    if (this.webSocket.readyState !== WebSocket.OPEN || bytes.length < MIN_LARGE_BYTES)
      return this.webSocket.send(bytes, sent);
    const message = frame.after(largeHead(bytes.length, this.#isClient));
    if (!(this.socket instanceof TLSSocket) || message.length <= FIRST_WRITE_BYTES)
      return void this.socket.write(message, sent);
    this.socket.write(message.subarray(0, FIRST_WRITE_BYTES));
    this.socket.write(message.subarray(FIRST_WRITE_BYTES), sent);
  }
}
