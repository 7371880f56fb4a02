import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { z } from 'zod';
import { CHANNEL_END } from './channel.ts';
import type { Tensor } from './frame.ts';
import type { MappedMemory, MemoryAddon } from './memory-addon.ts';
import { MAX_SHARED_MEMORY_BYTES, SHARED_MEMORY_BUFFERS } from '../limits.ts';

/**
 * A faster path for tensors between two processes on the same host: a file in memory that only its
 * owner writes and that peers open through /proc. The message itself still travels over the socket
 * or through a channel (channel.ts), and says which buffer holds its tensor. The file has no name,
 * so it disappears with its owner, even after a crash.
 *
 *     32 random bytes | u64 stamp of each buffer | channel | buffer 0 | buffer 1 | ...
 *
 * A buffer occupies a whole number of pages.
 *
 * A buffer's stamp is the checksum of its tensor. It changes before the first byte of the next
 * tensor is written. If a reader's copy does not match the checksum in the message, the stamp shows
 * why: if the stamp has changed, the buffer was reused; if not, the bytes are damaged.
 *
 * With the addon, the file is a memfd of a fixed size, which both sides map. Without it, it is a
 * file in /dev/shm; a peer without the addon reads either kind.
 */
const DIRECTORY = '/dev/shm';
const PAGE_BYTES = 4096;
const SECRET_BYTES = 32;
const STAMP_BYTES = 8;
/** How much of a file is allocated in one write. */
const ALLOCATED_BYTES = 1024 * 1024;
const BUFFERS_AT = Math.ceil(CHANNEL_END / PAGE_BYTES) * PAGE_BYTES;
/** Linux's O_TMPFILE without O_DIRECTORY, whose value depends on the processor. */
const TMPFILE = 0o20000000;

/** Where a peer on the same host finds the file, and the random bytes that identify it. */
export const memoryAddress = z.strictObject({
  process: z
    .int()
    .min(1)
    .max(2 ** 31),
  descriptor: z
    .int()
    .min(0)
    .max(2 ** 31),
  secret: z.string().regex(/^[0-9a-f]{64}$/),
});

export const memoryBuffer = z
  .int()
  .min(0)
  .max(SHARED_MEMORY_BUFFERS - 1);

export type MemoryAddress = z.infer<typeof memoryAddress>;

/** The shared-memory file that this process owns. */
export class SharedMemory {
  readonly address: MemoryAddress;
  /** The file as the addon maps it; undefined without the addon. */
  readonly mapped: MappedMemory | undefined;
  readonly #file: OwnFile;
  readonly #bufferBytes: number;
  readonly #stamp = Buffer.alloc(STAMP_BYTES);

  /**
   * `bufferBytes` is the size of every tensor. Throws if the file would exceed
   * MAX_SHARED_MEMORY_BYTES or cannot be created: the system is not Linux or has too little shared
   * memory.
   */
  constructor(bufferBytes: number, addon?: MemoryAddon) {
    if (process.platform !== 'linux')
      throw new Error(`shared memory needs Linux, not ${process.platform}`);
    const bytes = fileBytes(bufferBytes);
    if (bytes > MAX_SHARED_MEMORY_BYTES)
      throw new Error(`${bytes} bytes exceed MAX_SHARED_MEMORY_BYTES, ${MAX_SHARED_MEMORY_BYTES}`);
    this.#bufferBytes = bufferBytes;
    this.#file = addon === undefined ? createFile(bytes) : createMapped(addon, bytes);
    this.mapped = this.#file.mapped;
    const secret = randomBytes(SECRET_BYTES);
    this.#file.write(secret, 0);
    this.address = {
      process: process.pid,
      descriptor: this.#file.descriptor,
      secret: secret.toString('hex'),
    };
  }

  /** `checksum` must be the one in the message that will refer to the buffer. */
  write(buffer: number, bytes: Uint8Array, checksum: bigint): void {
    this.#stamp.writeBigUInt64LE(checksum);
    this.#file.write(this.#stamp, stampStart(buffer));
    this.#file.write(bytes, bufferStart(this.#bufferBytes, buffer));
  }

  close(): void {
    this.#file.close();
  }
}

/** The shared-memory file of another process, opened for reading. */
export class PeerMemory {
  /** The file as the addon maps it; undefined if it can only be read. */
  readonly mapped: MappedMemory | undefined;
  readonly #file: PeerFile;
  readonly #bufferBytes: number;
  #open = true;

  /**
   * Throws if the address does not lead to the peer's file, because the peer runs on another host,
   * in another container, or as another user.
   */
  constructor(
    { process: owner, descriptor, secret }: MemoryAddress,
    bufferBytes: number,
    addon?: MemoryAddon,
  ) {
    this.#bufferBytes = bufferBytes;
    const path = `/proc/${owner}/fd/${descriptor}`;
    // The address comes from the peer. Only a nameless file in memory is opened, and only for
    // reading.
    const target = readlinkSync(path);
    const isMapped = target === '/memfd:mnist-dist (deleted)';
    if (!isMapped && !/^\/dev\/shm\/[^/]+ \(deleted\)$/.test(target))
      throw new Error(`${path} is not a nameless file in memory`);
    checkOwner(path);
    const bytes = fileBytes(bufferBytes);
    this.#file =
      isMapped && addon !== undefined ? openMapped(addon, path, bytes) : openFile(path, bytes);
    this.mapped = this.#file.mapped;
    const found = Buffer.alloc(SECRET_BYTES);
    if (this.#file.read(found, 0) && found.toString('hex') === secret) return;
    this.close();
    throw new Error(`${path} has a different secret`);
  }

  /** The tensor in a buffer; `checksum` is from the message that referred to the buffer. */
  tensor(buffer: number, checksum: bigint): Tensor {
    const byteLength = this.#bufferBytes;
    // Once the file is closed, its descriptor may refer to a different file.
    const copyTo = (target: Uint8Array) =>
      this.#open &&
      this.#file.read(target.subarray(0, byteLength), bufferStart(byteLength, buffer));
    return { byteLength, checksum, copyTo, isStale: () => this.#isReused(buffer, checksum) };
  }

  #isReused(buffer: number, checksum: bigint): boolean {
    // Nothing may be read after the connection has closed.
    if (!this.#open) return true;
    const stamp = Buffer.alloc(STAMP_BYTES);
    return this.#file.read(stamp, stampStart(buffer)) && stamp.readBigUInt64LE() !== checksum;
  }

  /** Tensors that have not been copied yet are lost. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#file.close();
  }
}

/** Throws unless the file has no name and belongs to the user of this process. */
function checkOwner(path: string): void {
  const { uid, nlink } = statSync(path);
  if (uid !== process.geteuid?.() || nlink !== 0)
    throw new Error(`${path} is not a nameless file of this user`);
}

interface OwnFile {
  readonly descriptor: number;
  readonly mapped: MappedMemory | undefined;
  write(bytes: Uint8Array, at: number): void;
  close(): void;
}

interface PeerFile {
  readonly mapped: MappedMemory | undefined;
  /** Returns false if the file no longer has these bytes. */
  read(into: Uint8Array, at: number): boolean;
  close(): void;
}

function createMapped(addon: MemoryAddon, bytes: number): OwnFile {
  const { descriptor, memory } = addon.create(bytes);
  return {
    descriptor,
    mapped: memory,
    write: (from, at) => addon.write(memory, at, from),
    close: () => addon.close(memory),
  };
}

function openMapped(addon: MemoryAddon, path: string, bytes: number): PeerFile {
  const memory = addon.open(path, bytes);
  const read = (into: Uint8Array, at: number): true => {
    addon.read(memory, at, into);
    return true;
  };
  return { mapped: memory, read, close: () => addon.close(memory) };
}

function createFile(bytes: number): OwnFile {
  const flags = TMPFILE | constants.O_DIRECTORY | constants.O_RDWR;
  const descriptor = openSync(DIRECTORY, flags, 0o600);
  const write = (from: Uint8Array, at: number): void => {
    const written = writeSync(descriptor, from, 0, from.byteLength, at);
    if (written !== from.byteLength)
      throw new Error(`${DIRECTORY} accepted only ${written} of ${from.byteLength} bytes`);
  };
  try {
    // All pages are allocated now, so that a lack of memory is detected here and not during a step.
    const zeros = Buffer.alloc(ALLOCATED_BYTES);
    for (let at = 0; at < bytes; at += zeros.length)
      write(zeros.subarray(0, Math.min(zeros.length, bytes - at)), at);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return { descriptor, mapped: undefined, write, close: () => closeSync(descriptor) };
}

function openFile(path: string, bytes: number): PeerFile {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const { size } = fstatSync(descriptor);
  if (size !== bytes) {
    closeSync(descriptor);
    throw new Error(`${path} has ${size} bytes, not ${bytes}`);
  }
  return {
    mapped: undefined,
    read: (into, at) => readSync(descriptor, into, 0, into.byteLength, at) === into.byteLength,
    close: () => closeSync(descriptor),
  };
}

function stampStart(buffer: number): number {
  return SECRET_BYTES + buffer * STAMP_BYTES;
}

function strideBytes(bufferBytes: number): number {
  return Math.ceil(bufferBytes / PAGE_BYTES) * PAGE_BYTES;
}

function bufferStart(bufferBytes: number, buffer: number): number {
  return BUFFERS_AT + buffer * strideBytes(bufferBytes);
}

function fileBytes(bufferBytes: number): number {
  return BUFFERS_AT + SHARED_MEMORY_BUFFERS * strideBytes(bufferBytes);
}
