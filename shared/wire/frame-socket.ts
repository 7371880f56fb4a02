import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { WebSocket, type RawData } from 'ws';
import { assert } from '../errors.ts';
import type { Free, TensorFrame } from './frame.ts';
import { LargeMessages } from './large-messages.ts';
import { MAX_LARGE_MESSAGE_BYTES, MIN_LARGE_MESSAGE_BYTES } from '../limits.ts';
import { largeHead } from './websocket-head.ts';

/**
 * What TLS encrypts first of a large message, in bytes: six of its records. It would encrypt all of
 * a write before it sends a byte, and the other side would wait idly; more than two writes would be
 * joined, which is a copy.
 */
export const FIRST_WRITE_BYTES = 6 * 16 * 1024;

/**
 * Where there is a `free`, it gives the memory of `data` back; what is not given back, the garbage
 * collector takes.
 */
export type OnMessage = (data: RawData, isBinary: boolean, free?: Free) => void;

/**
 * A WebSocket on which tensors take a shorter way: frames are written in one piece with the
 * WebSocket's own head, where ws would write two (which TLS joins, a copy), and large messages are
 * put together in memory that is used again.
 */
export class FrameSocket {
  /** Never to be paused: what lies in a paused socket when it closes would go to ws alone. */
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  readonly #isClient: boolean;
  #onMessage: OnMessage = () => undefined;

  /**
   * To be made in the turn in which `webSocket` opens, before a byte is read from `socket`, the one
   * that it reads.
   */
  constructor(
    webSocket: WebSocket,
    socket: Socket,
    side: 'client' | 'server',
    maxMessageBytes: number,
  ) {
    this.webSocket = webSocket;
    this.socket = socket;
    this.#isClient = side === 'client';
    webSocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    this.#takeLarge(maxMessageBytes);
  }

  /** Messages that come before are dropped. */
  onMessage(handle: OnMessage): void {
    this.#onMessage = handle;
  }

  /**
   * Drops what comes from here on, unread; also the other side's close, so that ws ends the
   * connection when its time is up.
   */
  ignore(): void {
    this.socket.removeAllListeners('data');
  }

  send(frame: Buffer, sent?: () => void): void {
    this.webSocket.send(frame, sent);
  }

  /** Nothing of the frame's room may change until `sent` is called, which always happens. */
  sendTensor(frame: TensorFrame, sent: () => void): void {
    const { bytes } = frame;
    // ws knows what to do on a socket that closes, and how to frame what is short.
    if (this.webSocket.readyState !== WebSocket.OPEN || bytes.length < MIN_LARGE_MESSAGE_BYTES)
      return this.webSocket.send(bytes, sent);
    const message = frame.after(largeHead(bytes.length, this.#isClient));
    if (!(this.socket instanceof TLSSocket) || message.length <= FIRST_WRITE_BYTES)
      return void this.socket.write(message, sent);
    this.socket.write(message.subarray(0, FIRST_WRITE_BYTES));
    this.socket.write(message.subarray(FIRST_WRITE_BYTES), sent);
  }

  /** Puts itself between the socket and ws, until ws has to read by itself. */
  #takeLarge(maxMessageBytes: number): void {
    const { socket, webSocket } = this;
    const [ofWebSocket, ...others] = socket.listeners('data');
    assert(isReader(ofWebSocket) && others.length === 0, 'ws alone reads the socket');
    const pass = (bytes: Buffer): void => ofWebSocket.call(socket, bytes);
    const large = new LargeMessages({
      isFromClient: !this.#isClient,
      minBytes: MIN_LARGE_MESSAGE_BYTES,
      maxBytes: Math.min(maxMessageBytes, MAX_LARGE_MESSAGE_BYTES),
      deliver: (message, free) => this.#onMessage(message, true, free),
      pass,
      handOver: (bytes) => {
        socket.off('data', take);
        // The very listener, so that ws can take it off.
        socket.on('data', ofWebSocket);
        pass(bytes);
      },
    });
    const take = (bytes: Buffer): void => large.take(bytes);
    socket.removeAllListeners('data');
    socket.on('data', take);
    // ws reads no further then.
    webSocket.on('error', () => socket.off('data', take));
  }
}

function isReader(listener: unknown): listener is (this: Socket, bytes: Buffer) => void {
  return typeof listener === 'function';
}
