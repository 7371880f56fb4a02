import type { RawData, WebSocket } from 'ws';
import { CLOSE_FINISHED, ClusterError, errorTable, messageOf, type ErrorCode } from '../shared/errors.ts';
import { decodeFrame, encodeHeader, type DecodedFrame } from '../shared/frame.ts';
import { CLOSE_LIMIT_MILLISECONDS, MAX_TEXT_CHARACTERS } from '../shared/limits.ts';
import { parseMessage, workerMessage, type WorkerMessage } from '../shared/messages.ts';
import type { HeaderMessage } from './state.ts';

export interface ConnectionEvents {
  connected(connection: Connection): void;
  message(connection: Connection, message: WorkerMessage, frame: DecodedFrame): void;
  disconnected(connection: Connection, reason: string): void;
}

/** One authenticated worker. After `close` nothing it sends is delivered any more. */
export class Connection {
  readonly slot: number;
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>;
  readonly #webSocket: WebSocket;
  readonly #events: ConnectionEvents;
  #open = true;

  constructor(slot: number, webSocket: WebSocket, events: ConnectionEvents, onGone: () => void) {
    this.slot = slot;
    this.#webSocket = webSocket;
    this.#events = events;
    this.closed = new Promise((resolve) => {
      webSocket.once('close', (code, reason) => {
        onGone();
        resolve();
        this.#leave(reason.length > 0 ? reason.toString() : `its connection closed (${code})`);
      });
    });
    webSocket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    webSocket.on('error', (error) => this.#leave(`its connection failed: ${error.message}`));
  }

  send(message: HeaderMessage): void {
    if (this.#open) this.#webSocket.send(encodeHeader(message));
  }

  /** Sends a frame without copying; `onSent` is called once the socket no longer needs its bytes. */
  sendFrame(frame: Buffer, onSent: () => void): void {
    if (this.#open) this.#webSocket.send(frame, onSent);
    else onSent();
  }

  /** Says why, closes, and cuts the connection if the peer does not answer. */
  close(code: ErrorCode | undefined, message: string): void {
    if (!this.#open) return;
    if (code !== undefined) this.send({ kind: 'bye', code, message: message.slice(0, MAX_TEXT_CHARACTERS) });
    this.#leave(message);
    this.#webSocket.close(
      code === undefined ? CLOSE_FINISHED : (errorTable[code].close ?? errorTable.UNEXPECTED.close),
    );
    setTimeout(() => this.#webSocket.terminate(), CLOSE_LIMIT_MILLISECONDS).unref();
  }

  /** Cuts the connection without a word: the peer does not read. */
  terminate(reason: string): void {
    this.#leave(reason);
    this.#webSocket.terminate();
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (!this.#open) return;
    try {
      if (!isBinary || !Buffer.isBuffer(data))
        throw new ClusterError('PROTOCOL', 'the peer sent a text message; every message is one binary frame');
      const frame = decodeFrame(data);
      const message = parseMessage(workerMessage, frame.header);
      const hasBody = message.kind === 'gradient' || message.kind === 'predictions';
      if (hasBody !== (frame.body !== undefined))
        throw new ClusterError(
          'PROTOCOL',
          `the peer sent "${message.kind}" ${hasBody ? 'without its' : 'with a'} body`,
        );
      this.#events.message(this, message, frame);
    } catch (error) {
      // The peer's fault ends the peer; a defect of ours must not be blamed on it.
      if (!(error instanceof ClusterError)) throw error;
      this.close(error.code, messageOf(error));
    }
  }

  #leave(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#events.disconnected(this, reason);
  }
}
