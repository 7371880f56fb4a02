import { createHash, randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { openEntry } from '../../shared/disk/regular-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_STORED_FILE_BYTES } from '../../shared/limits.ts';

/** Size in bytes and SHA-256 of a file. */
export interface Digest {
  readonly size: number;
  readonly sha256: string;
}

/** The first `size` bytes of a file as a stream that closes the file. */
export async function streamPlain(path: string, size: number): Promise<Readable> {
  const { handle } = await openEntry(path, 'STORE');
  if (size > 0) return handle.createReadStream({ end: size - 1 });
  await handle.close();
  return Readable.from([], { objectMode: false });
}

/** Rejects with STORE where the file cannot be opened or is larger than a store accepts. */
export async function digestPlain(path: string): Promise<Digest> {
  const { handle, size } = await openEntry(path, 'STORE');
  // One byte more than the limit shows that the file grew beyond it while it was read.
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

/** Options of writePlain. */
export interface Writing {
  readonly path: string;
  /** Bytes after which reading stops. */
  readonly limit: number;
  /** Rejects the bytes, by throwing, before the file gets its name. */
  readonly accept: (digest: Digest) => void;
  /** Makes a message of an error of the disk; without it, the error is thrown unchanged. */
  readonly explain?: (error: unknown) => ClusterError;
}

/**
 * Writes bytes to a file, whole or not at all: to a temporary file, which is synced and renamed.
 * Errors of `bytes` are thrown unchanged.
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
    // A temporary file that remains is never read; the error itself matters more.
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Yields each part after it was written; stops after the part that exceeds `limit` bytes. */
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
