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
import type { HostChannel } from './host-channel.ts';
import type { HostMemory } from './host-memory.ts';
import type { Result } from './result-frames.ts';

export interface LinkEvents {
  message(message: CoordinatorMessage, tensor: Tensor | undefined): void;
  /** The coordinator violated the protocol or was silent for too long. */
  failed(error: ClusterError): void;
  closed(code: number): void;
  /** Whether to send heartbeats. */
  isReady(): boolean;
  /** A bug in this program. */
  crashed(error: unknown): void;
  log(level: 'debug', message: string): void;
}

/** What a worker shares with a coordinator on its host for one run. */
export interface SharedParts {
  readonly memory: HostMemory | undefined;
  readonly channel: HostChannel | undefined;
}

/**
 * A connection to a coordinator and, if both run on the same host, their shared memory. No events
 * occur after `close`.
 */
export class Link {
  readonly #socket: FrameSocket;
  #memory: HostMemory | undefined;
  #channel: HostChannel | undefined;
  readonly #events: LinkEvents;
  readonly #clock: () => number;
  readonly #heartbeat: NodeJS.Timeout;
  #heard: number;
  #open = true;
  #sending = 0;
  /** Undefined until the coordinator has said it. */
  #slot: number | undefined;
  #whenSent: (() => void) | undefined;

  constructor(
    socket: FrameSocket,
    { memory, channel }: SharedParts,
    clock: () => number,
    events: LinkEvents,
  ) {
    this.#socket = socket;
    this.#memory = memory;
    this.#channel = channel;
    this.#events = events;
    this.#clock = clock;
    this.#heard = clock();
    this.#heartbeat = setInterval(() => this.#beat(), limits.HEARTBEAT_INTERVAL_MILLISECONDS);
    socket.onMessage((data, isBinary, free) => {
      // The coordinator may have published a message before it sent this one.
      this.#channel?.poll();
      this.#receive(data, isBinary, free);
    });
    socket.webSocket.on('error', (error) =>
      events.log('debug', `the connection failed: ${error.message}`),
    );
    socket.webSocket.once('close', (code) => {
      if (this.#leave()) events.closed(code);
    });
  }

  send(message: WorkerMessage): void {
    if (!this.#open) return;
    const memory = message.kind === 'ready' ? this.#memory?.address : undefined;
    const shared = memory === undefined ? {} : { memory, channel: this.#channel !== undefined };
    this.#socket.send(encodeHeader({ ...message, ...shared }));
  }

  /**
   * Sends a result through shared memory if possible, otherwise in a frame. The result is freed
   * when its bytes are no longer needed.
   */
  sendResult(result: Result): void {
    const { message, body, checksum, free } = result;
    if (!this.#open) return free();
    const buffer = message.kind === 'gradient' ? this.#memory?.put(body, checksum) : undefined;
    if (buffer !== undefined) free();
    this.#sending += 1;
    const sent = () => {
      if (buffer === undefined) free();
      this.#sending -= 1;
      if (this.#sending === 0) this.#sent();
    };
    if (buffer === undefined) this.#socket.sendTensor(result.frame(), sent);
    else this.#sendPointer(encodePointer({ ...message, buffer }, checksum), sent);
  }

  /** Sends a pointer to a gradient through the channel if the coordinator reads it now. */
  #sendPointer(pointer: Buffer, sent: () => void): void {
    this.#channel?.expect();
    if (this.#channel?.publish(pointer) === true) sent();
    else this.#socket.send(pointer, sent);
  }

  /**
   * Calls `then` once the socket has accepted the results, so that the call does not delay them.
   */
  whenSent(then: () => void): void {
    this.#whenSent = then;
    if (this.#sending === 0) this.#sent();
  }

  /** Starts a task: the results of the previous task are no longer needed. */
  beginTask(): void {
    this.#memory?.begin();
  }

  /** Leaves the memory that it shares for a run that is over. */
  leaveMemory(): void {
    this.#channel?.close();
    this.#memory?.close();
    this.#channel = undefined;
    this.#memory = undefined;
  }

  /** Shares memory for the run that follows. */
  enterMemory({ memory, channel }: SharedParts): void {
    if (this.#open) {
      this.#memory = memory;
      this.#channel = channel;
    } else {
      channel?.close();
      memory?.close();
    }
  }

  close(): void {
    if (!this.#leave()) return;
    this.#socket.webSocket.close();
  }

  #join(next: number): void {
    if (this.#slot === undefined)
      throw new ClusterError('PROTOCOL', 'the coordinator sent "channel" before "welcome"');
    this.#channel?.join(this.#slot, next, {
      hear: (frame) => this.#receive(frame, true),
      failed: (error) => this.#events.failed(error),
      ring: () => this.send({ kind: 'heartbeat' }),
    });
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
    this.leaveMemory();
    return true;
  }

  #receive(data: RawData, isBinary: boolean, free?: Free): void {
    if (!this.#open) return;
    this.#heard = this.#clock();
    try {
      const lookUp = (buffer: number, checksum: bigint) => this.#memory?.weights(buffer, checksum);
      const { message, tensor } = receive(coordinatorMessage, data, isBinary, lookUp, free);
      if (message.kind === 'welcome') this.#slot = message.slot;
      if (message.kind === 'channel') this.#join(message.next);
      // Predictions travel over the socket.
      if (message.kind === 'evaluate') this.#channel?.relax();
      this.#events.message(message, tensor);
    } catch (error) {
      if (error instanceof ClusterError) this.#events.failed(error);
      else this.#events.crashed(error);
    }
  }

  /**
   * Sends a heartbeat and checks how long the coordinator has been silent. Data that is already in
   * the socket's buffer is read before the check.
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
