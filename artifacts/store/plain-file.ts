import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { openEntry } from '../../shared/disk/regular-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_STORED_FILE_BYTES } from '../../shared/limits.ts';

/** What identifies the bytes of a file. */
export interface Digest {
  readonly size: number;
  readonly sha256: string;
}

/** Its first `size` bytes as a stream that closes it. */
export async function streamPlain(path: string, size: number): Promise<Readable> {
  const { handle } = await openEntry(path, 'STORE');
  if (size > 0) return handle.createReadStream({ end: size - 1 });
  await handle.close();
  return Readable.from([], { objectMode: false });
}

/** Rejects as openEntry does, with STORE, also for a file that is larger than a store takes. */
export async function digestPlain(path: string): Promise<Digest> {
  const { handle, size } = await openEntry(path, 'STORE');
  // One byte beyond the limit tells that a file grew beyond it while it was read.
  const digest = await digestOf(
    handle.createReadStream({ end: size > MAX_STORED_FILE_BYTES ? 0 : MAX_STORED_FILE_BYTES }),
  );
  if (Math.max(size, digest.size) <= MAX_STORED_FILE_BYTES) return digest;
  throw new ClusterError('STORE', `${path} has more than ${MAX_STORED_FILE_BYTES} bytes`);
}

export async function digestOf(bytes: AsyncIterable<Uint8Array>): Promise<Digest> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const part of bytes) {
    hash.update(part);
    size += part.length;
  }
  return { size, sha256: hash.digest('hex') };
}

/** How a file is written. */
export interface Writing {
  readonly path: string;
  /** After so many bytes no more are read. */
  readonly limit: number;
  /** Refuses what was written, by throwing, before it gets its name. */
  readonly accept: (digest: Digest) => void;
  /**
   * An error of the disk, in the words of its user; without it they pass as they are, for whoever
   * tries again.
   */
  readonly explain?: (error: unknown) => ClusterError;
}

/**
 * Writes what comes into a file, whole or not at all: under another name first, synced, then
 * renamed. Errors of `bytes` pass as they are.
 */
export async function writePlain(
  bytes: AsyncIterable<Uint8Array>,
  writing: Writing,
): Promise<void> {
  const { path, accept, explain } = writing;
  const partial = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  const onDisk = async <T>(action: Promise<T>): Promise<T> =>
    await action.catch((error: unknown) => {
      throw explain === undefined ? error : explain(error);
    });
  try {
    const handle = await onDisk(open(partial, 'wx'));
    try {
      accept(
        await digestOf(written(bytes, writing.limit, (part) => onDisk(writeAll(handle, part)))),
      );
      await onDisk(handle.datasync());
    } finally {
      await handle.close();
    }
    await onDisk(rename(partial, path));
  } catch (error) {
    // What is left of it has no name that anybody reads; the error says what is wrong.
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** The same bytes, each part after it was written; no more than one part beyond `limit` bytes. */
export async function* written(
  bytes: AsyncIterable<Uint8Array>,
  limit: number,
  write: (part: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const part of bytes) {
    await write(part);
    yield part;
    length += part.length;
    if (length > limit) return;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += (await handle.write(bytes, at)).bytesWritten;
}
