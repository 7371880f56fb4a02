import { createHash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { systemCode } from '../data/system-error.ts';
import { ClusterError } from '../shared/errors.ts';

/** What identifies the bytes of a file. */
export interface Digest {
  readonly size: number;
  readonly sha256: string;
}

/**
 * Opens a file for reading, never through a link and nothing but a file: a pipe would wait for ever, a link leads elsewhere.
 * Rejects as the system does, with STORE for what is no file.
 */
export async function openPlain(path: string): Promise<{ handle: FileHandle; size: number }> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    throw systemCode(error) === 'ELOOP' ? notPlain(path, 'a link') : error;
  });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw notPlain(path, stat.isDirectory() ? 'a folder' : 'no regular file');
    return { handle, size: stat.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Its first `size` bytes as a stream that closes it. */
export async function streamPlain(path: string, size: number): Promise<Readable> {
  const { handle } = await openPlain(path);
  if (size > 0) return handle.createReadStream({ end: size - 1 });
  await handle.close();
  return Readable.from([], { objectMode: false });
}

/** Rejects as openPlain does. */
export async function digestPlain(path: string): Promise<Digest> {
  const { handle } = await openPlain(path);
  return await digestOf(handle.createReadStream());
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

/** Whether there is a folder; false where nothing is. Rejects with STORE where it is a link or something else. */
export async function isPlainFolder(path: string): Promise<boolean> {
  const stat = await lstatIfThere(path);
  if (stat === undefined) return false;
  if (stat.isDirectory()) return true;
  throw notPlain(path, stat.isSymbolicLink() ? 'a link' : 'no folder');
}

export async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** How a file is written. */
export interface Writing {
  readonly path: string;
  /** After so many bytes no more are read. */
  readonly limit: number;
  /** Refuses what was written, by throwing, before it gets its name. */
  readonly accept: (digest: Digest) => void;
  /** An error of the disk, in the words of its user; without it they pass as they are, for whoever tries again. */
  readonly explain?: (error: unknown) => ClusterError;
}

/**
 * Writes what comes into a file, whole or not at all: under another name first, synced, then renamed. Errors of `bytes` pass
 * as they are.
 */
export async function writePlain(bytes: AsyncIterable<Uint8Array>, writing: Writing): Promise<void> {
  const { path, accept, explain } = writing;
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  const onDisk = async <T>(action: Promise<T>): Promise<T> =>
    await action.catch((error: unknown) => {
      throw explain === undefined ? error : explain(error);
    });
  try {
    const handle = await onDisk(open(draft, 'wx'));
    try {
      accept(await digestOf(written(bytes, writing.limit, (part) => onDisk(writeAll(handle, part)))));
      await onDisk(handle.datasync());
    } finally {
      await handle.close();
    }
    await onDisk(rename(draft, path));
  } catch (error) {
    // What is left of it has no name that anybody reads; the error says what is wrong.
    await rm(draft, { force: true }).catch(() => undefined);
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

function notPlain(path: string, what: string): ClusterError {
  return new ClusterError(
    'STORE',
    `${path} is ${what}, and only files that lie there themselves are kept or read`,
    {
      fix: 'move it away',
    },
  );
}
