import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { WebSocket, type RawData } from 'ws';
import { assert } from '../errors.ts';
import type { Free, TensorFrame } from './frame.ts';
import { LargeMessages } from './large-messages.ts';
import { MAX_LARGE_MESSAGE_BYTES, MIN_LARGE_MESSAGE_BYTES } from '../limits.ts';
import { largeHead } from './websocket-head.ts';

/**
 * Size of the first write of a large message over TLS: six TLS records. Node's TLS encrypts an
 * entire write before it sends the first byte, so a single write would keep the peer waiting. Three
 * or more writes would be copied into one buffer.
 */
export const FIRST_WRITE_BYTES = 6 * 16 * 1024;

/**
 * `free`, if given, releases the memory of `data` for reuse; memory that is not released is
 * garbage-collected.
 */
export type OnMessage = (data: RawData, isBinary: boolean, free?: Free) => void;

/**
 * A WebSocket with a faster path for tensors. A frame and its WebSocket header go out in one write.
 * ws would issue two, which TLS would have to copy into one buffer. Large messages are received
 * into reused memory.
 */
export class FrameSocket {
  /** Must not be paused: when a paused socket closes, its remaining data would reach only ws. */
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  readonly #isClient: boolean;
  #onMessage: OnMessage = () => undefined;

  /**
   * Construct it in the turn of the event loop in which `webSocket` opens, before anything is read
   * from its `socket`.
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

  /** Messages that arrive before this call are dropped. */
  onMessage(handle: OnMessage): void {
    this.#onMessage = handle;
  }

  /**
   * Drops all further input unread, including the peer's close frame; ws therefore closes the
   * connection after its own timeout.
   */
  ignore(): void {
    this.socket.removeAllListeners('data');
  }

  send(frame: Buffer, sent?: () => void): void {
    this.webSocket.send(frame, sent);
  }

  /** The frame's memory must not change until `sent` is called; `sent` is always called. */
  sendTensor(frame: TensorFrame, sent: () => void): void {
    const { bytes } = frame;
    // ws handles sockets that are closing, and short messages.
    if (this.webSocket.readyState !== WebSocket.OPEN || bytes.length < MIN_LARGE_MESSAGE_BYTES)
      return this.webSocket.send(bytes, sent);
    const message = frame.after(largeHead(bytes.length, this.#isClient));
    if (!(this.socket instanceof TLSSocket) || message.length <= FIRST_WRITE_BYTES)
      return void this.socket.write(message, sent);
    this.socket.write(message.subarray(0, FIRST_WRITE_BYTES));
    this.socket.write(message.subarray(FIRST_WRITE_BYTES), sent);
  }

  /** Reads the socket in place of ws until ws has to take over. */
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
        // This is the original listener, so ws can remove it.
        socket.on('data', ofWebSocket);
        pass(bytes);
      },
    });
    const take = (bytes: Buffer): void => large.take(bytes);
    socket.removeAllListeners('data');
    socket.on('data', take);
    // ws stops reading after an error.
    webSocket.on('error', () => socket.off('data', take));
  }
}

function isReader(listener: unknown): listener is (this: Socket, bytes: Buffer) => void {
  return typeof listener === 'function';
}
