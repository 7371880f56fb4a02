import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Disk } from '../data/disk.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';
import { ClusterError } from '../shared/errors.ts';

const NAME = /^\.drafts-[0-9a-f]{12}$/;

/**
 * Makes the folder in which a coordinator writes files before they are renamed to their places, its lock.json, too. It is there
 * before the lock is taken, so that whoever takes the run over finds it, wherever this one was stopped. Rejects with DISK.
 */
export async function makeDrafts(directory: string, disk: Disk): Promise<string> {
  const path = join(directory, `.drafts-${randomBytes(6).toString('hex')}`);
  try {
    await disk.makeDirectory(path);
    return path;
  } catch (error) {
    throw diskError(path, error);
  }
}

/**
 * The fence: removes the folders of earlier coordinators. Whoever wrote there and was only stopped cannot give a name to
 * anything any more, on no host, and what it had given one before is there to be read. Needs the lock. Rejects with DISK.
 */
export async function putUpFence(directory: string, mine: string, disk: Disk): Promise<void> {
  try {
    for (const name of await disk.list(directory)) {
      const path = join(directory, name);
      if (NAME.test(name) && path !== mine) await removeFolder(path, disk);
    }
  } catch (error) {
    throw error instanceof ClusterError ? error : diskError(directory, error);
  }
}

/** Removes it with all that is in it, also what is added meanwhile. Rejects with DISK. */
export async function removeFolder(path: string, disk: Disk): Promise<void> {
  for (;;) {
    try {
      for (const name of await disk.list(path)) await disk.remove(join(path, name));
      return await disk.removeDirectory(path);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return;
      if (systemCode(error) !== 'ENOTEMPTY') throw diskError(path, error);
    }
  }
}

export function isDrafts(name: string): boolean {
  return NAME.test(name);
}
