import { ClusterError } from '../errors.ts';
import { CHANNEL_FRAME_BYTES, CHANNEL_FRAMES, MAX_CONNECTIONS } from '../limits.ts';
import type { MappedMemory, MemoryAddon } from './memory-addon.ts';

/**
 * A ring of small frames in a process's shared memory, which its peers on the same host read. It
 * carries the same frames as the socket, without a system call. After the stamps of the buffers:
 *
 *     at 1024: u32, 1 while the owner waits in the kernel, 2 while it reads only its sockets
 *     at 1028: u32, the number of peers whose channels the owner reads
 *     at 1088: u32, the number of the last frame (frames are numbered from 1; 0 follows 2^32 - 1)
 *     at 1152: for each slot a u32, the number of the last frame for it
 *     at 4096: CHANNEL_FRAMES entries, for frame n at n modulo CHANNEL_FRAMES:
 *              u32 n | u32 length | a bit for each slot that the frame is for | the frame
 *
 * The owner clears an entry's number before it changes the entry. A reader that has fallen behind
 * finds another number than it expects, before or after it copies the entry. A reader that a frame
 * is not for need not keep up: the word of its slot shows that it has missed nothing.
 */
export const STATE_AT = 1024;
export const PEERS_AT = 1028;
export const PUBLISHED_AT = 1088;
export const WAITING = 1;
export const ASLEEP = 2;
const SLOTS_AT = 1152;
const ENTRIES_AT = 4096;
/** Slots are numbered from 0 to MAX_CONNECTIONS. */
const SLOT_WORDS = Math.floor(MAX_CONNECTIONS / 32) + 1;
const HEAD_BYTES = 4 * (2 + SLOT_WORDS);
export const CHANNEL_END = ENTRIES_AT + CHANNEL_FRAMES * CHANNEL_FRAME_BYTES;

/** The channel in this process's own memory. */
export class ChannelWriter {
  readonly #addon: MemoryAddon;
  readonly #memory: MappedMemory;
  readonly #entry = Buffer.alloc(CHANNEL_FRAME_BYTES);
  #last = 0;

  constructor(addon: MemoryAddon, memory: MappedMemory) {
    this.#addon = addon;
    this.#memory = memory;
  }

  /** The number of the next frame. */
  get next(): number {
    return after(this.#last);
  }

  /** Whether a frame of this length fits into an entry. */
  static fits(frame: Buffer): boolean {
    return frame.length <= CHANNEL_FRAME_BYTES - HEAD_BYTES;
  }

  /** Adds a frame for these slots; its readers still have to be woken. */
  publish(frame: Buffer, slots: readonly number[]): void {
    const number = this.next;
    const at = entryAt(number);
    this.#addon.store(this.#memory, at, 0);
    this.#entry.fill(0, 0, HEAD_BYTES);
    this.#entry.writeUInt32LE(frame.length, 4);
    for (const slot of slots) {
      const byte = 8 + (slot >> 3);
      this.#entry.writeUInt8(this.#entry.readUInt8(byte) | (1 << (slot & 7)), byte);
    }
    this.#entry.set(frame, HEAD_BYTES);
    this.#addon.write(this.#memory, at + 4, this.#entry.subarray(4, HEAD_BYTES + frame.length));
    this.#addon.store(this.#memory, at, number);
    for (const slot of slots) this.#addon.store(this.#memory, SLOTS_AT + 4 * slot, number);
    this.#last = number;
    this.#addon.store(this.#memory, PUBLISHED_AT, number);
  }
}

/** A peer's channel, read by the peer in one slot. */
export class ChannelReader {
  readonly #addon: MemoryAddon;
  readonly #memory: MappedMemory;
  readonly #slot: number;
  readonly #entry = Buffer.alloc(CHANNEL_FRAME_BYTES);
  #last: number;

  /** Reads from the frame with the number `from` on. */
  constructor(addon: MemoryAddon, memory: MappedMemory, slot: number, from: number) {
    this.#addon = addon;
    this.#memory = memory;
    this.#slot = slot;
    this.#last = (from - 1) >>> 0;
  }

  /** The number of the last frame that was read. */
  get last(): number {
    return this.#last;
  }

  /**
   * A copy of the next frame for this slot; undefined if there is none yet. Skips frames that are
   * too old to be in the ring if a later one for this slot still is: it replaces them. Throws
   * TIMEOUT if the last frame for this slot is lost, and PROTOCOL if a frame exceeds its entry.
   */
  read(): Buffer | undefined {
    // In this order: the word of the slot is stored first.
    const published = this.#addon.load(this.#memory, PUBLISHED_AT);
    const mine = this.#addon.load(this.#memory, SLOTS_AT + 4 * this.#slot);
    if (published === this.#last) return undefined;
    if (!isAfter(mine, this.#last)) {
      this.#last = published;
      return undefined;
    }
    const oldest = (published - CHANNEL_FRAMES + 1) >>> 0;
    if (isAfter(oldest, this.#last)) {
      if (isAfter(oldest, mine)) throw replaced();
      this.#last = (oldest - 1) >>> 0;
    }
    // Bounded, in case the peer writes faster than this process reads.
    for (let i = 0; i < CHANNEL_FRAMES && this.#last !== published; i++) {
      const frame = this.#next();
      if (frame !== undefined) return frame;
    }
    return undefined;
  }

  /** Reads the next entry; returns its frame if it is for this slot. */
  #next(): Buffer | undefined {
    const number = after(this.#last);
    const at = entryAt(number);
    this.#expect(at, number);
    this.#addon.read(this.#memory, at, this.#entry);
    this.#expect(at, number);
    this.#last = number;
    const byte = this.#entry.readUInt8(8 + (this.#slot >> 3));
    if ((byte & (1 << (this.#slot & 7))) === 0) return undefined;
    const length = this.#entry.readUInt32LE(4);
    if (length > CHANNEL_FRAME_BYTES - HEAD_BYTES)
      throw new ClusterError('PROTOCOL', `the peer's channel has a frame of ${length} bytes`);
    return Buffer.from(this.#entry.subarray(HEAD_BYTES, HEAD_BYTES + length));
  }

  #expect(at: number, number: number): void {
    if (this.#addon.load(this.#memory, at) !== number) throw replaced();
  }
}

function after(number: number): number {
  return (number + 1) >>> 0;
}

/** Whether `number` comes after `other`; numbers wrap around. */
function isAfter(number: number, other: number): boolean {
  return ((number - other) | 0) > 0;
}

function entryAt(number: number): number {
  return ENTRIES_AT + (number % CHANNEL_FRAMES) * CHANNEL_FRAME_BYTES;
}

function replaced(): ClusterError {
  return new ClusterError(
    'TIMEOUT',
    'the peer replaced messages in shared memory before this suspended or slow process read them',
  );
}
