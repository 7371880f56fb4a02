import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Disk } from '../data/disk.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';
import { ClusterError } from '../shared/errors.ts';

const NAME = /^\.drafts-[0-9a-f]{12}$/;

/**
 * Makes the folder in which a coordinator writes files before they are renamed to their places, and removes those of earlier
 * ones. This is the fence: whoever wrote there and was only stopped cannot give a name to anything any more, on no host, and
 * what it had given one before is there to be read. Needs the lock. Rejects with DISK.
 */
export async function makeDrafts(directory: string, disk: Disk): Promise<string> {
  try {
    for (const name of await disk.list(directory))
      if (NAME.test(name)) await removeFolder(join(directory, name), disk);
    const path = join(directory, `.drafts-${randomBytes(6).toString('hex')}`);
    await disk.makeDirectory(path);
    return path;
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
