import type { FileHandle } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { ClusterError, messageOf } from '../errors.ts';
import { openNamed } from '../disk/regular-file.ts';
import { sequentialReader, type SequentialReader } from './sequential-reader.ts';

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);
const PIECE_BYTES = 256 * 1024;

/** A file that is read sequentially. Its methods reject with a DATA error that names the file. */
export interface UnpackedFile {
  readonly path: string;
  /**
   * The file's size in bytes; undefined for gzip, which does not record the unpacked size reliably.
   */
  readonly size: number | undefined;
  readonly read: SequentialReader;
  close(): Promise<void>;
}

/**
 * Opens a regular file, and unpacks it if it begins with gzip's magic number, regardless of its
 * name. Unpacks only as much as the caller reads.
 */
export async function openUnpacked(path: string): Promise<UnpackedFile> {
  const { handle, size } = await openNamed(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  try {
    const start = Buffer.alloc(GZIP_MAGIC.length);
    const count = await readAt(handle, start, 0);
    const isGzip = count === start.length && start.equals(GZIP_MAGIC);
    return isGzip ? gzipFile(path, handle) : plainFile(path, handle, size);
  } catch (error) {
    await handle.close();
    throw unreadable(path, error);
  }
}

/** The first bytes of a regular file, not unpacked; fewer if it is shorter. Rejects with DATA. */
export async function startOf(path: string, length: number): Promise<Buffer> {
  try {
    const { handle } = await openNamed(path);
    try {
      const start = Buffer.alloc(length);
      return start.subarray(0, await readAt(handle, start, 0));
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw unreadable(path, error);
  }
}

function plainFile(path: string, handle: FileHandle, size: number): UnpackedFile {
  let at = 0;
  return {
    path,
    size,
    read: async (target) => {
      try {
        const count = await readAt(handle, target, at);
        at += count;
        return count;
      } catch (error) {
        throw unreadable(path, error);
      }
    },
    close: () => handle.close(),
  };
}

function gzipFile(path: string, handle: FileHandle): UnpackedFile {
  const gunzip = createGunzip({ chunkSize: PIECE_BYTES });
  const source = Readable.from(piecesOf(handle), { objectMode: false, highWaterMark: PIECE_BYTES });
  // Errors in the source reach the reader of `pieces`.
  pipeline(source, gunzip, () => undefined);
  const pieces: AsyncIterator<Buffer> = gunzip[Symbol.asyncIterator]();
  const read = sequentialReader(pieces);
  return {
    path,
    size: undefined,
    read: async (target) => {
      try {
        return await read(target);
      } catch (error) {
        throw new ClusterError('DATA', `${path} is not an intact gzip file: ${messageOf(error)}`, {
          fix: 'copy or download the file again',
          cause: error,
        });
      }
    },
    close: async () => {
      gunzip.destroy();
      await handle.close();
    },
  };
}

async function* piecesOf(handle: FileHandle): AsyncGenerator<Buffer> {
  for (let at = 0; ;) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const count = await readAt(handle, piece, at);
    if (count > 0) yield piece.subarray(0, count);
    if (count < piece.length) return;
    at += count;
  }
}

/**
 * Resolves to the number of bytes read, which is less than the length of `target` only at the end.
 */
async function readAt(handle: FileHandle, target: Uint8Array, from: number): Promise<number> {
  let at = 0;
  while (at < target.length) {
    const { bytesRead } = await handle.read(target, at, target.length - at, from + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return at;
}

function unreadable(path: string, error: unknown): ClusterError {
  if (error instanceof ClusterError) return error;
  return new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
    fix: 'check that it exists and is readable',
    cause: error,
  });
}
