import type { RawData } from 'ws';
import {
  assert,
  CLOSE_FINISHED,
  ClusterError,
  errorTable,
  messageOf,
  type ErrorCode,
} from '../../shared/errors.ts';
import { encodeHeader, type Free } from '../../shared/wire/frame.ts';
import type { FrameSocket } from '../../shared/wire/frame-socket.ts';
import { MAX_TEXT_CHARACTERS } from '../../shared/limits.ts';
import { workerMessage } from '../../shared/wire/messages.ts';
import { Rendezvous, type ChannelPeer } from '../../shared/wire/rendezvous.ts';
import { receive, receiveMessage } from '../../shared/wire/receive.ts';
import type { LeaveCause, Peer, PeerEvents, Traffic } from './peer.ts';
import type { HeaderMessage } from '../decisions/effects.ts';
import type { OutgoingWeights } from '../tensors.ts';
import { WorkerMemory, type OpenMemory } from './worker-memory.ts';

interface Held {
  /** The run that the worker was told to join; undefined as long as there is none. */
  readonly run: string | undefined;
  /** Results of the run that is over which the worker was asked for. */
  readonly unanswered: number;
}

/** An authenticated worker's connection. */
export class Connection implements Peer {
  readonly slot: number;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<void>;
  readonly #frames: FrameSocket;
  readonly #events: PeerEvents;
  readonly #memory: WorkerMemory;
  #channels: Rendezvous | undefined;
  /** Between two runs; undefined while the worker takes part in one. */
  #held: Held | undefined;
  /** The traffic of earlier runs. */
  #before = { sentBytes: 0, receivedBytes: 0 };
  #peer: ChannelPeer | undefined;
  #open = true;
  #pingedAt: number | undefined;
  #roundTrip: number | undefined;

  constructor(
    slot: number,
    frames: FrameSocket,
    events: PeerEvents,
    openMemory: OpenMemory,
    channels: Rendezvous | undefined,
    onGone: () => void,
  ) {
    this.#channels = channels;
    this.#memory = new WorkerMemory(openMemory);
    this.slot = slot;
    const { webSocket } = frames;
    this.#frames = frames;
    this.#events = events;
    this.closed = new Promise((resolve) => {
      webSocket.once('close', (code, reason) => {
        onGone();
        resolve();
        this.#leave(
          reason.length > 0 ? reason.toString() : `its connection closed (${code})`,
          'connection',
        );
      });
    });
    frames.onMessage((data, isBinary, free) => this.#receive(data, isBinary, free));
    webSocket.on('error', (error) =>
      this.#leave(`its connection failed: ${error.message}`, 'connection'),
    );
    webSocket.on('ping', () => this.#control());
    webSocket.on('pong', () => {
      this.#control();
      if (this.#pingedAt === undefined) return;
      this.#roundTrip = performance.now() - this.#pingedAt;
      this.#pingedAt = undefined;
    });
  }

  traffic(): Traffic {
    const { socket, webSocket } = this.#frames;
    return {
      sentBytes: socket.bytesWritten - this.#before.sentBytes,
      receivedBytes: socket.bytesRead - this.#before.receivedBytes,
      queuedBytes: webSocket.bufferedAmount,
      roundTripMilliseconds: this.#roundTrip,
    };
  }

  /**
   * Keeps the connection although its run is over. What the worker shared for the run is closed,
   * and what it still sends is dropped; `unanswered` results are free.
   */
  hold(unanswered: number): void {
    if (!this.#open) return;
    this.#peer?.close();
    this.#peer = undefined;
    this.#channels = undefined;
    this.#memory.close();
    this.#held = { run: undefined, unanswered };
  }

  /**
   * Tells a worker whose connection is held which run follows. Until its `hello` for this run, what
   * it sends is dropped: it may have sent it before it read the message.
   */
  follow(next: { readonly run: string; readonly term: number }, channels?: Rendezvous): void {
    if (!this.#open) return;
    assert(this.#held !== undefined, 'a run follows when another one is over');
    const { bytesWritten, bytesRead } = this.#frames.socket;
    this.#before = { sentBytes: bytesWritten, receivedBytes: bytesRead };
    this.#channels = channels;
    this.#held = { ...this.#held, run: next.run };
    this.send({ kind: 'next', ...next });
  }

  /**
   * Sends a heartbeat, and a ping unless the last ping is still unanswered, so that the round trip
   * of a late pong is measured in full.
   */
  beat(): void {
    this.send({ kind: 'heartbeat' });
    if (!this.#open || this.#pingedAt !== undefined) return;
    this.#pingedAt = performance.now();
    this.#frames.webSocket.ping();
  }

  send(message: HeaderMessage): void {
    if (!this.#open) return;
    const frame = encodeHeader(message);
    // A worker that waits for its channel reads its socket up to 2 ms later.
    if (message.kind === 'lease' && this.#peer?.isAwake() === true && Rendezvous.fits(frame))
      this.#channels?.publish(frame, [this.#peer]);
    else this.#frames.webSocket.send(frame);
  }

  /** Sends weights through shared memory if the worker has it, otherwise in a frame. */
  sendWeights(weights: OutgoingWeights): void {
    if (!this.#open) return;
    const release = weights.hold(this.slot);
    if (!this.#memory.isShared) return this.#frames.sendTensor(weights.frame(), release);
    this.#memory.point(weights.message, release);
    const pointer = weights.pointer();
    if (this.#peer?.isAwake() === true && Rendezvous.fits(pointer)) weights.peers.push(this.#peer);
    else this.#frames.webSocket.send(pointer);
  }

  close(code: ErrorCode | undefined, message: string): void {
    if (!this.#open) return;
    if (code !== undefined)
      this.send({ kind: 'bye', code, message: message.slice(0, MAX_TEXT_CHARACTERS) });
    this.#leave(message, code ?? 'finished');
    this.#frames.webSocket.close(
      code === undefined ? CLOSE_FINISHED : (errorTable[code].close ?? errorTable.UNEXPECTED.close),
    );
    // The rest of a flood would otherwise be decoded until the peer has closed the connection.
    if (code === 'LIMIT') this.#frames.ignore();
  }

  terminate(reason: string): void {
    this.#leave(reason, 'unread');
    this.#frames.webSocket.terminate();
  }

  #control(): void {
    if (this.#open) this.#events.control(this);
  }

  #receive(data: RawData, isBinary: boolean, free?: Free): void {
    // The worker may have published results before it sent this message.
    this.#channels?.poll();
    this.#hear(data, isBinary, free);
  }

  #hear(data: RawData, isBinary: boolean, free?: Free): void {
    if (!this.#open) return;
    try {
      if (this.#held !== undefined) return this.#hearHeld(this.#held, data, isBinary);
      const lookUp = (buffer: number, checksum: bigint) => this.#memory.tensor(buffer, checksum);
      const { message, tensor } = receive(workerMessage, data, isBinary, lookUp, free);
      this.#memory.heard(message);
      if (message.kind === 'ready' && message.channel === true) this.#join();
      this.#events.message(this, message, tensor);
    } catch (error) {
      // A peer's error closes its connection; a bug in this process must not.
      if (!(error instanceof ClusterError)) throw error;
      this.close(error.code, messageOf(error));
    }
  }

  #hearHeld(held: Held, data: RawData, isBinary: boolean): void {
    const message = receiveMessage(workerMessage, data, isBinary);
    const { kind } = message;
    if (kind === 'bye') return this.close(message.code, message.message);
    if (kind === 'hello' && held.run !== undefined && message.run === held.run) {
      this.#held = undefined;
      return this.#events.message(this, message, undefined);
    }
    const isResult = kind === 'gradient' || kind === 'predictions';
    if (!isResult || held.unanswered === 0) return this.#events.control(this);
    this.#held = { ...held, unanswered: held.unanswered - 1 };
  }

  /** Exchanges frames through shared memory from now on, if both memories are mapped. */
  #join(): void {
    const { mapped } = this.#memory;
    if (this.#channels === undefined || mapped === undefined || this.#peer !== undefined) return;
    const { next } = this.#channels;
    this.#peer = this.#channels.join(
      mapped,
      { slot: this.slot, readsAs: 0, from: 1 },
      {
        hear: (frame) => this.#hear(frame, true),
        failed: (error) => this.close(error.code, error.message),
        ring: () => this.send({ kind: 'heartbeat' }),
      },
    );
    this.send({ kind: 'channel', next });
  }

  #leave(reason: string, cause: LeaveCause): void {
    if (!this.#open) return;
    this.#open = false;
    this.#peer?.close();
    this.#memory.close();
    this.#events.disconnected(this, reason, cause);
  }
}
