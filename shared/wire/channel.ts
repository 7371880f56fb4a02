import { ClusterError } from '../errors.ts';
import { CHANNEL_FRAME_BYTES, CHANNEL_FRAMES, MAX_CONNECTIONS } from '../limits.ts';
import type { MappedMemory, MemoryAddon } from './memory-addon.ts';

/**
 * A ring of small frames in a process's shared memory, which its peers on the same host read. It
 * carries the same frames as the socket, without a system call. After the stamps of the buffers:
 *
 *     at 1024: u32, 1 while the owner waits in the kernel, 2 while it reads only its sockets
 *     at 1088: u32, the number of the last frame (frames are numbered from 1; 0 follows 2^32 - 1)
 *     at 4096: CHANNEL_FRAMES entries, for frame n at n modulo CHANNEL_FRAMES:
 *              u32 n | u32 length | a bit for each slot that the frame is for | the frame
 *
 * The owner clears an entry's number before it changes the entry. A reader that has fallen behind
 * finds another number than it expects, before or after it copies the entry.
 */
export const STATE_AT = 1024;
export const PUBLISHED_AT = 1088;
export const WAITING = 1;
export const ASLEEP = 2;
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
   * A copy of the next frame for this slot; undefined if there is none yet. Throws TIMEOUT if the
   * peer has already replaced it, and PROTOCOL if it is longer than an entry.
   */
  read(): Buffer | undefined {
    const ahead = (this.#addon.load(this.#memory, PUBLISHED_AT) - this.#last) >>> 0;
    // Bounded, in case the peer writes faster than this process reads.
    for (let i = 0; i < Math.min(ahead, CHANNEL_FRAMES); i++) {
      const number = after(this.#last);
      const at = entryAt(number);
      this.#expect(at, number);
      this.#addon.read(this.#memory, at, this.#entry);
      this.#expect(at, number);
      this.#last = number;
      const byte = this.#entry.readUInt8(8 + (this.#slot >> 3));
      if ((byte & (1 << (this.#slot & 7))) === 0) continue;
      const length = this.#entry.readUInt32LE(4);
      if (length > CHANNEL_FRAME_BYTES - HEAD_BYTES)
        throw new ClusterError('PROTOCOL', `the peer's channel has a frame of ${length} bytes`);
      return Buffer.from(this.#entry.subarray(HEAD_BYTES, HEAD_BYTES + length));
    }
    return undefined;
  }

  #expect(at: number, number: number): void {
    if (this.#addon.load(this.#memory, at) !== number) throw replaced();
  }
}

function after(number: number): number {
  return (number + 1) >>> 0;
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
