import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { fromRandomAccessReader, RandomAccessReader, type Entry, type ZipFile } from 'yauzl';
import { openNamed } from '../../disk/regular-file.ts';
import { ClusterError, messageOf } from '../../errors.ts';
import { sequentialReader, type SequentialReader } from '../sequential-reader.ts';

const PIECE_BYTES = 256 * 1024;

/** A zip archive whose files are unpacked only as far as they are read. */
export interface Zip {
  readonly names: readonly string[];
  /** Reads a file from its beginning. Rejects with DATA, naming it, if it is damaged. */
  open(name: string): Promise<SequentialReader>;
}

/**
 * Opens an archive while `use` runs. Rejects with DATA if it is damaged, or has more than
 * `maxEntries` files or two of the same name.
 */
export async function withZip<T>(
  path: string,
  maxEntries: number,
  use: (zip: Zip) => Promise<T>,
): Promise<T> {
  const { handle, size } = await openNamed(path).catch((error: unknown) => {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  let zip: ZipFile | undefined;
  const streams: Readable[] = [];
  try {
    zip = await opened(new HandleReader(handle), size, path);
    const entries = await entriesOf(zip, path, maxEntries);
    return await use({
      names: [...entries.keys()],
      open: async (fileName) => {
        const entry = entries.get(fileName);
        if (zip === undefined || entry === undefined)
          throw new ClusterError('DATA', `${path} has no ${fileName}`);
        const name = `${entry.fileName} in ${path}`;
        const stream = await streamOf(zip, entry, name);
        streams.push(stream);
        return readerOf(stream, entry, name);
      },
    });
  } finally {
    for (const stream of streams) stream.destroy();
    zip?.close();
    await handle.close();
  }
}

/** Reads from a file that stays ours: yauzl's own reader closes it. */
class HandleReader extends RandomAccessReader {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    super();
    this.#handle = handle;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(piecesOf(this.#handle, start, end), { objectMode: false });
  }
}

async function* piecesOf(handle: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, end - at));
    const { bytesRead } = await handle.read(piece, 0, piece.length, at);
    if (bytesRead === 0) throw new Error('it ends too early');
    yield piece.subarray(0, bytesRead);
    at += bytesRead;
  }
}

function opened(reader: RandomAccessReader, size: number, path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    fromRandomAccessReader(reader, size, { lazyEntries: true, autoClose: false }, (error, zip) => {
      if (error === null) resolve(zip);
      else reject(damaged(path, error));
    });
  });
}

function entriesOf(zip: ZipFile, path: string, maxEntries: number): Promise<Map<string, Entry>> {
  return new Promise((resolve, reject) => {
    const entries = new Map<string, Entry>();
    if (zip.entryCount > maxEntries) {
      const what = `${path} declares ${zip.entryCount} files, more than ${maxEntries}`;
      reject(new ClusterError('LIMIT', `${what} (MAX_NPZ_ENTRIES)`, { fix: 'use another file' }));
      return;
    }
    zip.on('entry', (entry: Entry) => {
      if (entries.has(entry.fileName)) {
        reject(damaged(path, new Error(`it has ${entry.fileName} twice`)));
        return;
      }
      entries.set(entry.fileName, entry);
      zip.readEntry();
    });
    zip.once('end', () => resolve(entries));
    zip.once('error', (error: Error) => reject(damaged(path, error)));
    zip.readEntry();
  });
}

function streamOf(zip: ZipFile, entry: Entry, name: string): Promise<Readable> {
  if (entry.isEncrypted())
    throw new ClusterError('DATA', `${name} is encrypted`, { fix: 'save it without a password' });
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error === null) resolve(stream);
      else reject(damaged(name, error));
    });
  });
}

function readerOf(stream: Readable, entry: Entry, name: string): SequentialReader {
  const read = sequentialReader(checked(stream, entry));
  return async (target) => {
    try {
      return await read(target);
    } catch (error) {
      throw damaged(name, error);
    }
  };
}

/** The pieces of a file. Its checksum, which yauzl does not compare, is compared at the end. */
async function* checked(stream: Readable, entry: Entry): AsyncGenerator<Uint8Array> {
  let checksum = 0;
  const pieces: AsyncIterable<Uint8Array> = stream;
  for await (const bytes of pieces) {
    checksum = crc32(bytes, checksum);
    yield bytes;
  }
  if (checksum !== entry.crc32) throw new Error('its checksum is wrong');
}

function damaged(name: string, cause: unknown): ClusterError {
  return new ClusterError('DATA', `${name} is damaged: ${messageOf(cause)}`, {
    fix: 'copy or download the file again',
    cause,
  });
}
