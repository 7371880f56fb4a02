import { availableParallelism } from 'node:os';
import { arrivals } from '../arrivals.ts';
import { ClusterError } from '../errors.ts';
import {
  BLOCK_MICROSECONDS,
  CHANNEL_FRAMES,
  MAX_BLOCKING_MILLISECONDS,
  MAX_CHANNEL_PEERS,
  SPIN_MICROSECONDS,
} from '../limits.ts';
import {
  ASLEEP,
  ChannelReader,
  ChannelWriter,
  PEERS_AT,
  PUBLISHED_AT,
  STATE_AT,
  WAITING,
} from './channel.ts';
import type { MappedMemory, MemoryAddon } from './memory-addon.ts';

/** What a process does with a peer's frames. */
export interface PeerHandlers {
  /** A frame has arrived. It may close this or other peers, and publish. */
  hear(frame: Buffer): void;
  /** The peer's channel cannot be read any further. */
  failed(error: ClusterError): void;
  /** Sends the peer any message over its socket, since it reads only its sockets. */
  ring(): void;
}

/** A peer on this host whose channel this process reads. */
export interface ChannelPeer {
  /** The peer's slot as a reader of this process's channel. */
  readonly slot: number;
  /** Whether the peer reads channels at the moment; if not, use its socket. */
  isAwake(): boolean;
  close(): void;
}

/**
 * For how many microseconds each wait may look for frames before this process sleeps. `auto`
 * spins only if each process of the run on this host can have a core of its own: otherwise,
 * spinning would take time from the process that is waited for.
 */
export type Spin = 'auto' | number;

interface Joined extends ChannelPeer {
  readonly memory: MappedMemory;
  readonly reader: ChannelReader;
  readonly handlers: PeerHandlers;
}

const CORES = availableParallelism();

/**
 * Where the processes of one host exchange frames without sockets. While frames are expected, this
 * process waits for them in the kernel, for at most BLOCK_MICROSECONDS between two turns of its
 * event loop, and not at all after a turn that accepted a connection. If none has come for
 * MAX_BLOCKING_MILLISECONDS, it says in its memory that it reads only its sockets: peers then use
 * those.
 */
export class Rendezvous {
  readonly #addon: MemoryAddon;
  readonly #own: MappedMemory;
  readonly #writer: ChannelWriter;
  readonly #peers = new Set<Joined>();
  readonly #spin: Spin;
  /** What the addon was told. */
  #spinning = 0;
  #state: 'asleep' | 'awake' | 'closed' = 'asleep';
  /** When frames were last expected, in milliseconds. */
  #expectedAt = 0;
  #isPolling = false;
  /** The connections that this process had accepted when it last looked. */
  #arrivals = arrivals();

  constructor(addon: MemoryAddon, own: MappedMemory, spin: Spin = 0) {
    this.#addon = addon;
    this.#own = own;
    this.#spin = spin;
    this.#writer = new ChannelWriter(addon, own);
    addon.store(own, STATE_AT, ASLEEP);
  }

  /** The number of the next frame that this process publishes. */
  get next(): number {
    return this.#writer.next;
  }

  /**
   * Reads a peer's channel from the frame with the number `from` on, as the reader in slot
   * `readsAs`. `slot` is the peer's own.
   */
  join(
    memory: MappedMemory,
    { slot, readsAs, from }: { slot: number; readsAs: number; from: number },
    handlers: PeerHandlers,
  ): ChannelPeer {
    const peer: Joined = {
      slot,
      memory,
      handlers,
      reader: new ChannelReader(this.#addon, memory, readsAs, from),
      isAwake: () => this.#addon.load(memory, STATE_AT) !== ASLEEP,
      close: () => {
        if (this.#peers.delete(peer)) this.#countPeers();
      },
    };
    this.#peers.add(peer);
    this.#countPeers();
    return peer;
  }

  /** Whether a frame can be published at all. */
  static fits(frame: Buffer): boolean {
    return ChannelWriter.fits(frame);
  }

  /** Publishes a frame for these peers, with one system call at most unless some fall asleep. */
  publish(frame: Buffer, peers: readonly ChannelPeer[]): void {
    this.#writer.publish(
      frame,
      peers.map(({ slot }) => slot),
    );
    const addressed = new Set(peers);
    let isAnyWaiting = false;
    for (const peer of this.#peers) {
      if (!addressed.has(peer)) continue;
      const state = this.#addon.load(peer.memory, STATE_AT);
      isAnyWaiting ||= state === WAITING;
      // It fell asleep meanwhile, and may not have seen the frame.
      if (state === ASLEEP) peer.handlers.ring();
    }
    if (isAnyWaiting) this.#addon.wake(this.#own, PUBLISHED_AT);
  }

  /**
   * Frames are due: this process reads its peers' channels from now on. Call it before the message
   * that the frames answer, so that they come through the channel.
   */
  expect(): void {
    if (this.#peers.size === 0 || this.#peers.size > MAX_CHANNEL_PEERS) return;
    this.#expectedAt = performance.now();
    if (this.#state !== 'asleep') return;
    this.#state = 'awake';
    this.#addon.store(this.#own, STATE_AT, 0);
    setImmediate(() => this.#turn());
  }

  /** No frame is due: this process waits for its sockets. */
  relax(): void {
    this.#expectedAt = -Infinity;
  }

  /** Hears all frames that have arrived. Call it before each message from a socket. */
  poll(): void {
    // A frame's handler may cause this call.
    if (this.#isPolling) return;
    this.#isPolling = true;
    try {
      for (const peer of this.#peers) this.#hear(peer);
    } finally {
      this.#isPolling = false;
    }
  }

  close(): void {
    this.#peers.clear();
    this.#state = 'closed';
  }

  #hear(peer: Joined): void {
    try {
      // A peer that publishes without a pause cannot hold this loop.
      for (let i = 0; i < CHANNEL_FRAMES && this.#peers.has(peer); i++) {
        const frame = peer.reader.read();
        if (frame === undefined) return;
        peer.handlers.hear(frame);
      }
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      peer.close();
      peer.handlers.failed(error);
    }
  }

  /**
   * Hears and waits until this turn of the event loop has lasted long enough. After a turn that
   * accepted a connection it only hears, because each turn accepts only one: otherwise a few
   * hundred connections per second would fill the listener's queue.
   */
  #turn(): void {
    const began = performance.now();
    const isQuiet = this.#arrivals === arrivals();
    this.#arrivals = arrivals();
    for (;;) {
      this.poll();
      // A frame may have closed this rendezvous, and its memory.
      if (this.#isClosed()) return;
      const now = performance.now();
      const left = BLOCK_MICROSECONDS - 1000 * (now - began);
      const canWait = this.#peers.size > 0 && this.#peers.size <= MAX_CHANNEL_PEERS;
      if (!canWait || now - this.#expectedAt > MAX_BLOCKING_MILLISECONDS) return this.#sleep();
      if (left <= 0 || !isQuiet) return void setImmediate(() => this.#turn());
      this.#wait(Math.ceil(left));
    }
  }

  #countPeers(): void {
    if (!this.#isClosed()) this.#addon.store(this.#own, PEERS_AT, this.#peers.size);
  }

  /** Sets how long the next wait may spin. */
  #allowSpinning(): void {
    const [first] = this.#peers;
    // A worker has one peer, the coordinator, which has all workers of this host.
    const others = first === undefined ? 0 : this.#addon.load(first.memory, PEERS_AT);
    const processes = 1 + Math.max(this.#peers.size, others);
    const automatic = processes <= CORES ? SPIN_MICROSECONDS : 0;
    const microseconds = this.#spin === 'auto' ? automatic : this.#spin;
    if (microseconds === this.#spinning) return;
    this.#spinning = microseconds;
    this.#addon.spin(microseconds);
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #wait(microseconds: number): void {
    this.#allowSpinning();
    const peers = [...this.#peers];
    this.#addon.wait(
      this.#own,
      STATE_AT,
      peers.map(({ memory }) => memory),
      PUBLISHED_AT,
      peers.map(({ reader }) => reader.last),
      microseconds,
    );
  }

  #sleep(): void {
    this.#state = 'asleep';
    // A peer that publishes before it can see this does not ring.
    this.#addon.store(this.#own, STATE_AT, ASLEEP);
    for (const peer of this.#peers) this.#hear(peer);
  }
}
