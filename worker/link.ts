import type { RawData } from 'ws';
import { ClusterError } from '../shared/errors.ts';
import type { FrameSocket } from '../shared/wire/frame-socket.ts';
import { encodeHeader, encodePointer, type Free, type Tensor } from '../shared/wire/frame.ts';
import * as limits from '../shared/limits.ts';
import {
  coordinatorMessage,
  type CoordinatorMessage,
  type WorkerMessage,
} from '../shared/wire/messages.ts';
import { receive } from '../shared/wire/receive.ts';
import type { HostMemory } from './host-memory.ts';
import type { Result } from './result-frames.ts';

export interface LinkEvents {
  message(message: CoordinatorMessage, tensor: Tensor | undefined): void;
  /** The coordinator broke the contract or is silent. */
  failed(error: ClusterError): void;
  closed(code: number): void;
  /** Whether heartbeats are due. */
  isReady(): boolean;
  /** A defect of ours. */
  crashed(error: unknown): void;
  log(level: 'debug', message: string): void;
}

/**
 * One connection to a coordinator and, with one on this host, the memory they share. After `close`
 * no event comes.
 */
export class Link {
  readonly #socket: FrameSocket;
  readonly #memory: HostMemory | undefined;
  readonly #events: LinkEvents;
  readonly #clock: () => number;
  readonly #heartbeat: NodeJS.Timeout;
  #heard: number;
  #open = true;
  #sending = 0;
  #whenSent: (() => void) | undefined;

  constructor(
    socket: FrameSocket,
    memory: HostMemory | undefined,
    clock: () => number,
    events: LinkEvents,
  ) {
    this.#socket = socket;
    this.#memory = memory;
    this.#events = events;
    this.#clock = clock;
    this.#heard = clock();
    this.#heartbeat = setInterval(() => this.#beat(), limits.HEARTBEAT_INTERVAL_MILLISECONDS);
    socket.onMessage((data, isBinary, free) => this.#receive(data, isBinary, free));
    socket.webSocket.on('error', (error) =>
      events.log('debug', `the connection failed: ${error.message}`),
    );
    socket.webSocket.once('close', (code) => {
      if (this.#leave()) events.closed(code);
    });
  }

  send(message: WorkerMessage): void {
    const memory = message.kind === 'ready' ? this.#memory?.address : undefined;
    if (this.#open)
      this.#socket.send(encodeHeader(memory === undefined ? message : { ...message, memory }));
  }

  /**
   * By the shorter way that this connection has; the result is free once nobody needs its bytes.
   */
  sendResult(result: Result): void {
    const { message, body, checksum, free } = result;
    if (!this.#open) return free();
    const room = message.kind === 'gradient' ? this.#memory?.put(body, checksum) : undefined;
    if (room !== undefined) free();
    this.#sending += 1;
    const sent = () => {
      if (room === undefined) free();
      this.#sending -= 1;
      if (this.#sending === 0) this.#sent();
    };
    if (room === undefined) this.#socket.sendTensor(result.frame(), sent);
    else this.#socket.send(encodePointer({ ...message, room }, checksum), sent);
  }

  /**
   * Calls `then` once the socket has taken the results: until then every microsecond delays them.
   */
  whenSent(then: () => void): void {
    this.#whenSent = then;
    if (this.#sending === 0) this.#sent();
  }

  /** New weights are there: results of the task before are no longer needed. */
  beginTask(): void {
    this.#memory?.begin();
  }

  close(): void {
    if (!this.#leave()) return;
    this.#socket.webSocket.close();
  }

  #sent(): void {
    const then = this.#whenSent;
    this.#whenSent = undefined;
    then?.();
  }

  #leave(): boolean {
    if (!this.#open) return false;
    this.#open = false;
    clearInterval(this.#heartbeat);
    this.#memory?.close();
    return true;
  }

  #receive(data: RawData, isBinary: boolean, free?: Free): void {
    if (!this.#open) return;
    this.#heard = this.#clock();
    try {
      const lookUp = (room: number, checksum: bigint) => this.#memory?.weights(room, checksum);
      const { message, tensor } = receive(coordinatorMessage, data, isBinary, lookUp, free);
      this.#events.message(message, tensor);
    } catch (error) {
      if (error instanceof ClusterError) this.#events.failed(error);
      else this.#events.crashed(error);
    }
  }

  /**
   * A sign of life, and a look at the other side's; what lies in the socket's buffer is read before
   * it is judged.
   */
  #beat(): void {
    if (this.#events.isReady()) this.send({ kind: 'heartbeat' });
    setImmediate(() => {
      const silent = this.#clock() - this.#heard;
      if (!this.#open || silent < limits.IDLE_LIMIT_MILLISECONDS) return;
      this.#events.failed(
        new ClusterError(
          'TIMEOUT',
          `the coordinator was silent for ${Math.round(silent / 1000)} s`,
        ),
      );
    });
  }
}
