import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { z } from 'zod';
import type { Tensor } from './frame.ts';
import { MAX_SHARED_MEMORY_BYTES, SHARED_MEMORY_BUFFERS } from '../limits.ts';

/**
 * A faster path for tensors between two processes on the same host: a file in memory that only its
 * owner writes and that peers open through /proc. The message itself still travels over the socket,
 * and says which buffer holds its tensor. The file has no name, so it disappears with its owner,
 * even after a crash.
 *
 *     32 random bytes | u64 stamp of each buffer | zeros to 4096 | buffer 0 | buffer 1 | ...
 *
 * A buffer occupies a whole number of pages.
 *
 * A buffer's stamp is the checksum of its tensor. It changes before the first byte of the next
 * tensor is written. If a reader's copy does not match the checksum in the message, the stamp shows
 * why: if the stamp has changed, the buffer was reused; if not, the bytes are damaged.
 */
const DIRECTORY = '/dev/shm';
const PAGE_BYTES = 4096;
const SECRET_BYTES = 32;
const STAMP_BYTES = 8;
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
  readonly #descriptor: number;
  readonly #bufferBytes: number;
  readonly #stamp = Buffer.alloc(STAMP_BYTES);

  /**
   * `bufferBytes` is the size of every tensor. Throws if the file would exceed
   * MAX_SHARED_MEMORY_BYTES or cannot be created: the system is not Linux or has too little shared
   * memory.
   */
  constructor(bufferBytes: number) {
    if (process.platform !== 'linux')
      throw new Error(`shared memory needs Linux, not ${process.platform}`);
    const bytes = fileBytes(bufferBytes);
    if (bytes > MAX_SHARED_MEMORY_BYTES)
      throw new Error(`${bytes} bytes exceed MAX_SHARED_MEMORY_BYTES, ${MAX_SHARED_MEMORY_BYTES}`);
    this.#bufferBytes = bufferBytes;
    const flags = TMPFILE | constants.O_DIRECTORY | constants.O_RDWR;
    this.#descriptor = openSync(DIRECTORY, flags, 0o600);
    const secret = randomBytes(SECRET_BYTES);
    try {
      // All pages are allocated now, so that a lack of memory is detected here and not during a
      // step.
      const zeros = Buffer.alloc(strideBytes(bufferBytes));
      for (let buffer = 0; buffer < SHARED_MEMORY_BUFFERS; buffer++)
        writeWhole(this.#descriptor, zeros, bufferStart(bufferBytes, buffer));
      writeWhole(this.#descriptor, secret, 0);
    } catch (error) {
      closeSync(this.#descriptor);
      throw error;
    }
    this.address = {
      process: process.pid,
      descriptor: this.#descriptor,
      secret: secret.toString('hex'),
    };
  }

  /** `checksum` must be the one in the message that will refer to the buffer. */
  write(buffer: number, bytes: Uint8Array, checksum: bigint): void {
    this.#stamp.writeBigUInt64LE(checksum);
    writeWhole(this.#descriptor, this.#stamp, stampStart(buffer));
    writeWhole(this.#descriptor, bytes, bufferStart(this.#bufferBytes, buffer));
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** The shared-memory file of another process, opened for reading. */
export class PeerMemory {
  readonly #descriptor: number;
  readonly #bufferBytes: number;
  #open = true;

  /**
   * Throws if the address does not lead to the peer's file, because the peer runs on another host,
   * in another container, or as another user.
   */
  constructor({ process: owner, descriptor, secret }: MemoryAddress, bufferBytes: number) {
    this.#bufferBytes = bufferBytes;
    const path = `/proc/${owner}/fd/${descriptor}`;
    // The address comes from the peer. Only a nameless file in shared memory is opened, and only
    // for reading.
    if (!/^\/dev\/shm\/[^/]+ \(deleted\)$/.test(readlinkSync(path)))
      throw new Error(`${path} is not a nameless file in ${DIRECTORY}`);
    this.#descriptor = openSync(
      path,
      constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
    try {
      const { size } = fstatSync(this.#descriptor);
      if (size !== fileBytes(bufferBytes))
        throw new Error(`${path} has ${size} bytes, not ${fileBytes(bufferBytes)}`);
      const found = Buffer.alloc(SECRET_BYTES);
      if (!readWhole(this.#descriptor, found, 0) || found.toString('hex') !== secret)
        throw new Error(`${path} has a different secret`);
    } catch (error) {
      closeSync(this.#descriptor);
      throw error;
    }
  }

  /** The tensor in a buffer; `checksum` is from the message that referred to the buffer. */
  tensor(buffer: number, checksum: bigint): Tensor {
    const byteLength = this.#bufferBytes;
    // Once the descriptor is closed, its number may refer to a different file.
    const copyTo = (target: Uint8Array) =>
      this.#open &&
      readWhole(this.#descriptor, target.subarray(0, byteLength), bufferStart(byteLength, buffer));
    return { byteLength, checksum, copyTo, isStale: () => this.#isReused(buffer, checksum) };
  }

  #isReused(buffer: number, checksum: bigint): boolean {
    // Nothing may be read after the connection has closed.
    if (!this.#open) return true;
    const stamp = Buffer.alloc(STAMP_BYTES);
    return (
      readWhole(this.#descriptor, stamp, stampStart(buffer)) && stamp.readBigUInt64LE() !== checksum
    );
  }

  /** Tensors that have not been copied yet are lost. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#descriptor);
  }
}

function stampStart(buffer: number): number {
  return SECRET_BYTES + buffer * STAMP_BYTES;
}

function strideBytes(bufferBytes: number): number {
  return Math.ceil(bufferBytes / PAGE_BYTES) * PAGE_BYTES;
}

function bufferStart(bufferBytes: number, buffer: number): number {
  return PAGE_BYTES + buffer * strideBytes(bufferBytes);
}

function fileBytes(bufferBytes: number): number {
  return PAGE_BYTES + SHARED_MEMORY_BUFFERS * strideBytes(bufferBytes);
}

function writeWhole(descriptor: number, bytes: Uint8Array, at: number): void {
  const written = writeSync(descriptor, bytes, 0, bytes.byteLength, at);
  if (written !== bytes.byteLength)
    throw new Error(`${DIRECTORY} accepted only ${written} of ${bytes.byteLength} bytes`);
}

function readWhole(descriptor: number, into: Uint8Array, at: number): boolean {
  return readSync(descriptor, into, 0, into.byteLength, at) === into.byteLength;
}
