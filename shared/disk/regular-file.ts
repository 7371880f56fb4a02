import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { lstat, open, type FileHandle } from 'node:fs/promises';
import { ClusterError, type ErrorCode } from '../errors.ts';
import {
  MAX_MODEL_FILE_BYTES,
  MAX_RUN_FILE_BYTES,
  PIPE_LIMIT_MILLISECONDS,
  PIPE_POLL_MILLISECONDS,
} from '../limits.ts';
import { systemCode } from './system-error.ts';

/**
 * The only module that opens files that others may have created.
 *
 * An *entry* is a file in a run directory or in another folder that this program manages. It must
 * be a regular file: a link leads elsewhere, a pipe may never end, and a device has no size. A
 * *named* file was chosen by the user, for instance with an option. Links to it are followed, but
 * the target must be a regular file or, for functions that say so, a pipe. No function waits for a
 * writer forever, or reads more bytes than its limit allows, even if the file grows.
 */

/** How many bytes may be read, and the name of that limit. */
export interface ReadLimit {
  readonly name: string;
  readonly bytes: number;
}

/** The limit for a file in a run directory that is read as a whole and contains no tensors. */
export const runFileLimit: ReadLimit = { name: 'MAX_RUN_FILE_BYTES', bytes: MAX_RUN_FILE_BYTES };
/** The limit for a model or a checkpoint. */
export const tensorFileLimit: ReadLimit = {
  name: 'MAX_MODEL_FILE_BYTES',
  bytes: MAX_MODEL_FILE_BYTES,
};

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const ENTRY_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
const NAMED_FLAGS = O_RDONLY | O_NONBLOCK;

/**
 * Why a file cannot be read: "it is a folder, not ...", "it has at least 9 bytes, ...". The caller
 * prepends the path.
 */
class UnfitFile extends Error {
  readonly isTooLarge: boolean;

  constructor(message: string, isTooLarge: boolean) {
    super(message);
    this.isTooLarge = isTooLarge;
  }
}

/**
 * Opens an entry for reading. Rejects with `code` if it is not a regular file, otherwise with the
 * system's error.
 */
export async function openEntry(
  path: string,
  code: ErrorCode = 'DATA',
): Promise<{ handle: FileHandle; size: number }> {
  try {
    return await opened(path, ENTRY_FLAGS);
  } catch (error) {
    throw explained(path, error, code);
  }
}

/** Reads a whole entry. Rejects like `openEntry`, and with LIMIT if the entry exceeds the limit. */
export async function readEntry(path: string, limit = runFileLimit): Promise<Buffer> {
  try {
    return await read(path, ENTRY_FLAGS, limit);
  } catch (error) {
    throw explained(path, error);
  }
}

/** Like `readEntry`, but synchronous. */
export function readEntryNow(path: string, limit = runFileLimit): Buffer {
  try {
    return readNow(path, ENTRY_FLAGS, limit);
  } catch (error) {
    throw explained(path, error);
  }
}

/**
 * Yields the bytes of an entry from offset `start`, piece by piece. Only one piece is in memory at
 * a time; it is valid until the next one is read. Signals are handled between two pieces. Rejects
 * like `openEntry`.
 */
export async function* entryPieces(path: string, start = 0): AsyncGenerator<Buffer> {
  const { handle } = await openEntry(path);
  try {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    for (let at = start; ;) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, at);
      if (bytesRead === 0) return;
      yield piece.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** Like `entryPieces`, but synchronous: for threads, and for readers of one piece at a time. */
export function* entryPiecesNow(path: string, start = 0): Generator<Buffer> {
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, ENTRY_FLAGS);
    regularSize(fstatSync(descriptor));
    for (let at = start; ;) {
      const count = readSync(descriptor, piece, 0, piece.length, at);
      if (count === 0) return;
      yield piece.subarray(0, count);
      at += count;
    }
  } catch (error) {
    throw explained(path, error);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Opens a named file for reading. Rejects with an Error that says why it cannot be opened. */
export async function openNamed(path: string): Promise<{ handle: FileHandle; size: number }> {
  return await opened(path, NAMED_FLAGS);
}

/** Reads a whole named file. Rejects with an Error that says why it cannot be read. */
export async function readNamed(path: string, limit: ReadLimit): Promise<Buffer> {
  return await read(path, NAMED_FLAGS, limit);
}

/**
 * Reads a whole named file synchronously, and returns its stat as well. A pipe is read to its end,
 * within a time limit, because `--token-file <(command)` passes a pipe.
 */
export function readNamedNow(
  path: string,
  limit: ReadLimit,
  pipeMilliseconds = PIPE_LIMIT_MILLISECONDS,
): { bytes: Buffer; stat: Stats } {
  const descriptor = openSync(path, NAMED_FLAGS);
  try {
    const stat = fstatSync(descriptor);
    if (stat.isFIFO()) return { bytes: readPipe(descriptor, limit, pipeMilliseconds), stat };
    return { bytes: readDescriptor(descriptor, regularSize(stat), limit), stat };
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Whether a folder exists at the path; false if nothing exists there. Rejects with `code` for a
 * link or anything else.
 */
export async function isOwnFolder(path: string, code: ErrorCode = 'DATA'): Promise<boolean> {
  const stat = await lstatIfThere(path);
  if (stat === undefined || stat.isDirectory()) return stat !== undefined;
  throw unfit(path, 'used', `it is ${kindOf(stat)}, not a folder`, code);
}

export async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function opened(path: string, flags: number): Promise<{ handle: FileHandle; size: number }> {
  const handle = await open(path, flags);
  try {
    return { handle, size: regularSize(await handle.stat()) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function read(path: string, flags: number, limit: ReadLimit): Promise<Buffer> {
  const { handle, size } = await opened(path, flags);
  try {
    const bytes = new GrowingBuffer(size, limit);
    while (bytes.take((await handle.read(bytes.room())).bytesRead));
    return bytes.taken();
  } finally {
    await handle.close();
  }
}

function readNow(path: string, flags: number, limit: ReadLimit): Buffer {
  const descriptor = openSync(path, flags);
  try {
    return readDescriptor(descriptor, regularSize(fstatSync(descriptor)), limit);
  } finally {
    closeSync(descriptor);
  }
}

function readDescriptor(descriptor: number, size: number, limit: ReadLimit): Buffer {
  const bytes = new GrowingBuffer(size, limit);
  while (bytes.take(readSync(descriptor, bytes.room())));
  return bytes.taken();
}

/** A pipe that has no writer yet looks like a pipe at its end, so this waits for the first byte. */
function readPipe(descriptor: number, limit: ReadLimit, milliseconds: number): Buffer {
  const bytes = new GrowingBuffer(0, limit);
  const end = performance.now() + milliseconds;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const count = readIfReady(descriptor, bytes.room());
    if (count !== undefined && !bytes.take(count) && bytes.length > 0) return bytes.taken();
    if (count !== undefined && count > 0) continue;
    if (performance.now() > end)
      throw new UnfitFile(`it is a pipe that did not end within ${milliseconds / 1000} s`, false);
    Atomics.wait(pause, 0, 0, PIPE_POLL_MILLISECONDS);
  }
}

/** Undefined if a writer has the pipe open but has written nothing new. */
function readIfReady(descriptor: number, room: Uint8Array): number | undefined {
  try {
    return readSync(descriptor, room);
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return undefined;
    throw error;
  }
}

const MIN_ROOM_BYTES = 4096;
const PIECE_BYTES = 256 * 1024;

/** The bytes read so far from a file, which may turn out to be longer than its reported size. */
class GrowingBuffer {
  readonly #limit: ReadLimit;
  #buffer: Buffer;
  length = 0;

  constructor(size: number, limit: ReadLimit) {
    this.#limit = limit;
    if (size > limit.bytes) throw this.#tooLarge(size);
    // One byte more than the size, for the read that detects the end.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(MIN_ROOM_BYTES, size + 1));
  }

  /** Free space for the next bytes; never empty. */
  room(): Buffer {
    if (this.length === this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.#buffer.length);
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return this.#buffer.subarray(this.length);
  }

  /** Adds the next `count` bytes; false at the end of the file. */
  take(count: number): boolean {
    this.length += count;
    if (this.length > this.#limit.bytes) throw this.#tooLarge(this.length);
    return count > 0;
  }

  taken(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }

  #tooLarge(size: number): UnfitFile {
    const { name, bytes } = this.#limit;
    return new UnfitFile(`it has at least ${size} bytes, more than ${bytes} (${name})`, true);
  }
}

function regularSize(stat: Stats): number {
  if (!stat.isFile()) throw new UnfitFile(`it is ${kindOf(stat)}, not a regular file`, false);
  return stat.size;
}

function kindOf(stat: Stats): string {
  if (stat.isSymbolicLink()) return 'a link';
  if (stat.isDirectory()) return 'a folder';
  if (stat.isFIFO()) return 'a pipe';
  if (stat.isSocket()) return 'a socket';
  return stat.isFile() ? 'a file' : 'a device';
}

/** The user-facing error for an unfit entry. Other errors are returned unchanged. */
function explained(path: string, error: unknown, code: ErrorCode = 'DATA'): unknown {
  if (systemCode(error) === 'ELOOP')
    return unfit(path, 'read', 'it is a link, not a regular file', code);
  if (systemCode(error) === 'ENXIO')
    return unfit(path, 'read', 'it is a socket or a device, not a regular file', code);
  if (!(error instanceof UnfitFile)) return error;
  return unfit(path, 'read', error.message, error.isTooLarge ? 'LIMIT' : code);
}

function unfit(path: string, use: 'read' | 'used', why: string, code: ErrorCode): ClusterError {
  return new ClusterError(code, `${path} cannot be ${use}: ${why}`, {
    fix: 'move it away, or replace it with the file or folder itself',
  });
}
