import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { ClusterError, messageOf } from '../errors.ts';
import { systemDisk, type Disk, type DiskFile } from './disk.ts';
import { isFull, systemCode } from './system-error.ts';

/**
 * Writes a file whole or not at all: a temporary file in `staging` (beside it, if nothing is said),
 * sync, rename, directory sync. Whoever reads `path` sees the old bytes or the new ones, also after
 * a power cut. Rejects with DISK, naming the file.
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
    // What is left of it has no name that anybody reads; the error above says what is wrong.
    await disk.remove(temporary).catch(() => undefined);
    throw diskError(path, error);
  }
}

/**
 * Makes a directory, and those it lies in, so that they outlive a power cut. Says whether it is
 * new. Rejects with DISK.
 */
export async function makeDirectories(path: string, disk: Disk = systemDisk): Promise<boolean> {
  const isNew = await makeDirectory(path, disk);
  await syncNames(dirname(path), isNew, disk);
  return isNew;
}

/**
 * Makes a folder in a run's directory, or finds that one is there. Rejects with DATA for a link in
 * its place, and with DISK.
 */
export async function makeOwnFolder(path: string, disk: Disk): Promise<void> {
  await makeDirectories(path, disk);
  await disk.isFolder(path);
}

/**
 * Makes a directory in one that exists, or finds that it is there. Says whether it is new; rejects
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
    // It lies in something that has a name and cannot be entered, such as a link to what is not
    // there.
    throw diskError(path, error);
  }
}

/**
 * Makes names outlive a power cut, also one that was there: who made it may have died before the
 * sync. Rejects with DISK.
 */
export async function syncNames(directory: string, isNew: boolean, disk: Disk): Promise<void> {
  try {
    await disk.syncDirectory(directory);
  } catch (error) {
    // One that we may not read was made by others, long ago.
    if (isNew || systemCode(error) !== 'EACCES') throw diskError(directory, error);
  }
}

export async function writeAll(file: DiskFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** A write that failed, in the words of its user. */
export function diskError(path: string, error: unknown): ClusterError {
  return new ClusterError('DISK', `${path} could not be written: ${messageOf(error)}`, {
    fix: `${isFull(error) ? 'free disk space' : 'look at its folder'}, or choose another one (--runs-dir for runs, MNIST_DIST_CACHE for the cache)`,
    cause: error,
  });
}
