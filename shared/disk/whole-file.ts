import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { ClusterError, messageOf } from '../errors.ts';
import { systemDisk, type Disk, type DiskFile } from './disk.ts';
import { FILE_SIZE_FIX, isFull, isTooLarge, systemCode } from './system-error.ts';

/**
 * Writes a file atomically: writes a temporary file in `staging` (by default the file's folder),
 * syncs it, renames it and syncs the directory. Readers of `path` see either the old bytes or the
 * new ones, even after a power cut. Rejects with a DISK error that names the file.
 */
export async function writeWhole(
  path: string,
  data: string | Uint8Array | AsyncIterable<Uint8Array>,
  disk: Disk = systemDisk,
  staging: string = dirname(path),
): Promise<void> {
  const temporary = join(staging, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await disk.create(temporary);
    try {
      if (typeof data === 'string') await writeAll(file, Buffer.from(data));
      else if (data instanceof Uint8Array) await writeAll(file, data);
      else for await (const piece of data) await writeAll(file, piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(temporary, path);
    await disk.syncDirectory(dirname(path));
  } catch (error) {
    // A leftover temporary file does no harm, and the error above is the one to report.
    await disk.remove(temporary).catch(() => undefined);
    throw diskError(path, error);
  }
}

/**
 * Creates a directory and its parents so that they survive a power cut. Resolves to whether the
 * directory is new. Rejects with DISK.
 */
export async function makeDirectories(path: string, disk: Disk = systemDisk): Promise<boolean> {
  const isNew = await makeDirectory(path, disk);
  await syncNames(dirname(path), isNew, disk);
  return isNew;
}

/**
 * Creates a folder in a run directory unless it exists. Rejects with DATA if a link or a file is in
 * its place, and with DISK if it cannot be created.
 */
export async function makeOwnFolder(path: string, disk: Disk): Promise<void> {
  await makeDirectories(path, disk);
  await disk.isFolder(path);
}

/**
 * Creates a directory in an existing one unless it exists. Resolves to whether the directory is
 * new; rejects with the disk's error.
 */
export async function makeIfNew(path: string, disk: Disk): Promise<boolean> {
  try {
    await disk.makeDirectory(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function makeDirectory(path: string, disk: Disk): Promise<boolean> {
  try {
    return await makeIfNew(path, disk);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw diskError(path, error);
  }
  await makeDirectories(dirname(path), disk);
  try {
    return await makeIfNew(path, disk);
  } catch (error) {
    // The parent's name exists, but nothing can be created in it: it may be a broken link.
    throw diskError(path, error);
  }
}

/**
 * Syncs the names in a directory, even in one that already existed, whose creator may have crashed
 * before the sync. Rejects with DISK.
 */
export async function syncNames(directory: string, isNew: boolean, disk: Disk): Promise<void> {
  try {
    await disk.syncDirectory(directory);
  } catch (error) {
    // An existing directory that this user may not read was created by another user long ago, so it
    // needs no sync.
    if (isNew || systemCode(error) !== 'EACCES') throw diskError(directory, error);
  }
}

export async function writeAll(file: DiskFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

const FOLDER_OPTIONS = 'the folder (--runs-dir, MNIST_DIST_CACHE)';

/** Runs an action that writes to --out, the option that its errors DISK then advise. */
export async function withOutFolder<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ClusterError) || error.code !== 'DISK') throw error;
    const fix = error.fix?.replace(FOLDER_OPTIONS, 'the folder (--out)');
    throw new ClusterError('DISK', error.message, {
      ...(fix === undefined ? {} : { fix }),
      cause: error.cause,
    });
  }
}

/** The user-facing error for a failed write. */
export function diskError(path: string, error: unknown): ClusterError {
  const fix = isTooLarge(error)
    ? FILE_SIZE_FIX
    : `${isFull(error) ? 'free disk space' : 'check its folder'}, or change ${FOLDER_OPTIONS}`;
  return new ClusterError('DISK', `${path} could not be written: ${messageOf(error)}`, {
    fix,
    cause: error,
  });
}
