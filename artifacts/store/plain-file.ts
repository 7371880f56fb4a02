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

/** Rejects with STORE if the file cannot be opened or is larger than a store accepts. */
export async function digestPlain(path: string): Promise<Digest> {
  const { handle, size } = await openEntry(path, 'STORE');
  // Reads up to one byte more than the limit, to detect a file that grows beyond it in the
  // meantime.
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

/** Options for writePlain. */
export interface Writing {
  readonly path: string;
  /** Number of bytes after which reading stops. */
  readonly limit: number;
  /** Throws to reject the bytes, before the file gets its final name. */
  readonly accept: (digest: Digest) => void;
  /** Explains a disk error; without this function, the error is thrown unchanged. */
  readonly explain?: (error: unknown) => ClusterError;
}

/**
 * Writes bytes to a file, completely or not at all: they go to a temporary file, which is synced
 * and then renamed. Errors from `bytes` are thrown unchanged.
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
    // A leftover temporary file is never read; the original error matters more.
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** Yields each part once it has been written; stops after the part that exceeds `limit` bytes. */
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
