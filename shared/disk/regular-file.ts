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
 * The only place that opens files for reading which others may have put there.
 *
 * An *entry* lies in a run's directory, or in another folder that is ours: it must be a regular
 * file of its own. A link would lead elsewhere, a pipe would never end, a device has no size. A
 * *named* file was chosen by the user, by an option for instance: a link is followed, but what it
 * leads to must be a regular file, too, or a pipe where that is said. Nothing here waits for a
 * writer without a limit, and nothing reads more bytes than a limit allows, however the file grows.
 */

/** How many bytes may be read, and the name of that limit. */
export interface ReadLimit {
  readonly name: string;
  readonly bytes: number;
}

/** Of a file in a run's directory that is read whole and holds no tensors. */
export const runFileLimit: ReadLimit = { name: 'MAX_RUN_FILE_BYTES', bytes: MAX_RUN_FILE_BYTES };
/** Of a model or a checkpoint. */
export const tensorFileLimit: ReadLimit = {
  name: 'MAX_MODEL_FILE_BYTES',
  bytes: MAX_MODEL_FILE_BYTES,
};

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const ENTRY_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
const NAMED_FLAGS = O_RDONLY | O_NONBLOCK;

/**
 * Why a file is not read: "it is a folder", "it has 9 bytes; ...". Its callers say which file it
 * is.
 */
class UnfitFile extends Error {
  readonly isTooLarge: boolean;

  constructor(message: string, isTooLarge: boolean) {
    super(message);
    this.isTooLarge = isTooLarge;
  }
}

/**
 * Opens an entry for reading. Rejects with `code` for anything but a regular file, otherwise as the
 * system does.
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

/** All bytes of an entry. Rejects as `openEntry` does, and with LIMIT for a larger one. */
export async function readEntry(path: string, limit = runFileLimit): Promise<Buffer> {
  try {
    return await read(path, ENTRY_FLAGS, limit);
  } catch (error) {
    throw explained(path, error);
  }
}

/** The same before it returns. */
export function readEntryNow(path: string, limit = runFileLimit): Buffer {
  try {
    return readNow(path, ENTRY_FLAGS, limit);
  } catch (error) {
    throw explained(path, error);
  }
}

/**
 * The bytes of an entry from `start` on, piece by piece, each valid until the next; only one is in
 * memory. Throws as `openEntry` rejects.
 */
export function* entryPieces(path: string, start = 0): Generator<Buffer> {
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

/** Opens a named file for reading. Rejects with an Error that says why it cannot be. */
export async function openNamed(path: string): Promise<{ handle: FileHandle; size: number }> {
  return await opened(path, NAMED_FLAGS);
}

/** All bytes of a named file. Rejects with an Error that says why it cannot be read. */
export async function readNamed(path: string, limit: ReadLimit): Promise<Buffer> {
  return await read(path, NAMED_FLAGS, limit);
}

/**
 * The same before it returns, with what the system says of the file. A pipe is read as well, to its
 * end, within a time limit: `--token-file <(command)` is one.
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
 * Whether a folder of its own lies there; false where nothing does. Rejects with `code` for a link
 * or anything else.
 */
export async function isOwnFolder(path: string, code: ErrorCode = 'DATA'): Promise<boolean> {
  const stat = await lstatIfThere(path);
  if (stat === undefined || stat.isDirectory()) return stat !== undefined;
  throw unfit(path, 'used', `it is ${kindOf(stat)}, not a folder of its own`, code);
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

/**
 * A pipe that no program has opened for writing yet looks like one at its end, so its first byte is
 * waited for.
 */
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

/** Undefined where a writer has the pipe open and has written nothing more. */
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

/** What was read so far of a file that may be longer than it said. */
class GrowingBuffer {
  readonly #limit: ReadLimit;
  #buffer: Buffer;
  length = 0;

  constructor(size: number, limit: ReadLimit) {
    this.#limit = limit;
    if (size > limit.bytes) throw this.#tooLarge(size);
    // One byte more than expected: the read that finds the end needs room as well.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(MIN_ROOM_BYTES, size + 1));
  }

  /** Where the next bytes go; never empty. */
  room(): Buffer {
    if (this.length === this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.#buffer.length);
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return this.#buffer.subarray(this.length);
  }

  /** So many bytes were put there; false at the end of the file. */
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
    return new UnfitFile(`it has ${size} bytes or more; ${bytes} are allowed (${name})`, true);
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

/** An entry that is unfit, in the words of its user; all other errors pass. */
function explained(path: string, error: unknown, code: ErrorCode = 'DATA'): unknown {
  if (systemCode(error) === 'ELOOP')
    return unfit(path, 'read', 'it is a link, not a file of its own', code);
  if (systemCode(error) === 'ENXIO')
    return unfit(path, 'read', 'it is a socket or a device, not a regular file', code);
  if (!(error instanceof UnfitFile)) return error;
  return unfit(path, 'read', error.message, error.isTooLarge ? 'LIMIT' : code);
}

function unfit(path: string, use: 'read' | 'used', why: string, code: ErrorCode): ClusterError {
  return new ClusterError(code, `${path} cannot be ${use}: ${why}`, {
    fix: 'move it away, or put the file or folder itself in its place',
  });
}
