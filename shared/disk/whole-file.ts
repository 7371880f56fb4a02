import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { ClusterError, messageOf } from '../errors.ts';
import { systemDisk, type Disk, type DiskFile } from './disk.ts';
import { isFull, systemCode } from './system-error.ts';

/**
 * Writes a file atomically: a temporary file in `drafts` (by default the file's folder), sync,
 * rename, directory sync. Readers of `path` see the old bytes or the new ones, also after a power
 * cut. Rejects with DISK, naming the file.
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
    // No reader uses a temporary file that stays; the error above is the one to report.
    await disk.remove(temporary).catch(() => undefined);
    throw diskError(path, error);
  }
}

/**
 * Creates a directory and its parents so that they survive a power cut. Resolves to whether it is
 * new. Rejects with DISK.
 */
export async function makeDirectories(path: string, disk: Disk = systemDisk): Promise<boolean> {
  const isNew = await makeDirectory(path, disk);
  await syncNames(dirname(path), isNew, disk);
  return isNew;
}

/**
 * Creates a folder in a run directory unless it exists. Rejects with DATA for a link in its place,
 * and with DISK.
 */
export async function makeOwnFolder(path: string, disk: Disk): Promise<void> {
  await makeDirectories(path, disk);
  await disk.isFolder(path);
}

/**
 * Creates a directory in an existing one unless it exists. Resolves to whether it is new; rejects
 * as the disk does.
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
    // Its parent is a name that cannot be entered, such as a broken link.
    throw diskError(path, error);
  }
}

/**
 * Syncs the names in a directory, also an existing one: its creator may have crashed before the
 * sync. Rejects with DISK.
 */
export async function syncNames(directory: string, isNew: boolean, disk: Disk): Promise<void> {
  try {
    await disk.syncDirectory(directory);
  } catch (error) {
    // Another user created an unreadable directory, long ago.
    if (isNew || systemCode(error) !== 'EACCES') throw diskError(directory, error);
  }
}

export async function writeAll(file: DiskFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

const FOLDER_OPTIONS = 'the folder (--runs-dir, MNIST_DIST_CACHE)';

/** The user's error for a failed write. */
export function diskError(path: string, error: unknown): ClusterError {
  return new ClusterError('DISK', `${path} could not be written: ${messageOf(error)}`, {
    fix: `${isFull(error) ? 'free disk space' : 'check its folder'}, or change ${FOLDER_OPTIONS}`,
    cause: error,
  });
}
