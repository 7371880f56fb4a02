import { createWriteStream, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { open } from 'yauzl';
import type { Entry, ZipFile } from 'yauzl';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { FILE_SIZE_FIX, isTooLarge } from '../../shared/disk/system-error.ts';
import type { UnpackedFile } from './cache/contents.ts';

/**
 * The files that are needed from a wheel: the C library, the headers that the binding includes,
 * TensorFlow's build information, and the CUDA libraries.
 */
const wanted: readonly RegExp[] = [
  /^tensorflow\/libtensorflow_(cc|framework)\.so\.2$/,
  /^tensorflow\/include\/tensorflow\/(c|core\/platform|core\/public)\/.*\.h$/,
  /^tensorflow\/include\/(tsl\/platform|xla\/tsl\/c)\/.*\.h$/,
  /^tensorflow\/python\/platform\/build_info\.py$/,
  /^nvidia\/[^/]+\/(lib|bin|nvvm)\/.*[^/]$/,
];

/**
 * Unpacks the needed files of a wheel into `directory`, streaming one entry at a time, and resolves
 * to these files. `onProgress` gets the unpacked fraction, by size. Rejects with SETUP if the file
 * is not a wheel or cannot be unpacked.
 */
export async function unpackWheel(
  wheel: string,
  directory: string,
  onProgress: (fraction: number) => void,
): Promise<readonly UnpackedFile[]> {
  const zip = await openZip(wheel);
  try {
    const entries = await wantedEntries(zip);
    const total = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0);
    let done = 0;
    for (const entry of entries) {
      await unpackEntry(zip, entry, join(directory, entry.fileName), (bytes) => {
        done += bytes;
        onProgress(done / total);
      });
    }
    return entries.map(({ fileName, uncompressedSize, crc32 }) => ({
      path: fileName,
      bytes: uncompressedSize,
      crc32,
    }));
  } catch (error) {
    throw new ClusterError('SETUP', `${wheel} cannot be unpacked: ${messageOf(error)}`, {
      fix: isTooLarge(error)
        ? FILE_SIZE_FIX
        : 'free disk space if none is left, or delete the file if it is damaged, then run the ' +
          'set-up again',
      cause: error,
    });
  } finally {
    zip.close();
  }
}

function openZip(wheel: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    open(wheel, { lazyEntries: true, autoClose: false }, (error, zip) => {
      if (error === null) resolve(zip);
      else
        reject(
          new ClusterError('SETUP', `${wheel} is not a wheel: ${error.message}`, { cause: error }),
        );
    });
  });
}

function wantedEntries(zip: ZipFile): Promise<Entry[]> {
  return new Promise((resolve, reject) => {
    const entries: Entry[] = [];
    zip.on('entry', (entry: Entry) => {
      // yauzl has already rejected absolute names and `..`.
      if (wanted.some((pattern) => pattern.test(entry.fileName))) entries.push(entry);
      zip.readEntry();
    });
    zip.once('end', () => {
      resolve(entries);
    });
    zip.once('error', reject);
    zip.readEntry();
  });
}

async function unpackEntry(
  zip: ZipFile,
  entry: Entry,
  file: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  mkdirSync(dirname(file), { recursive: true });
  const source = await new Promise<NodeJS.ReadableStream>((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error === null) resolve(stream);
      else reject(error);
    });
  });
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes(chunk.length);
      done(null, chunk);
    },
  });
  const mode = (entry.externalFileAttributes >>> 16) & 0o777;
  await pipeline(
    source,
    counter,
    createWriteStream(file, { mode: mode === 0 ? 0o644 : mode | 0o600 }),
  );
}
