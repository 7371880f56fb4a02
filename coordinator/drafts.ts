import { basename, join } from 'node:path';
import type { Disk } from '../data/disk.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError, makeIfNew } from '../data/whole-file.ts';
import { assert, ClusterError } from '../shared/errors.ts';
import type { RunLock } from './run-lock.ts';

const NAME = /^\.drafts-(\d{1,9})$/;

/**
 * Makes the folder in which a coordinator writes files before they are renamed to their places, its lock.json, too. It is there
 * before the lock is taken, so that whoever takes the run over finds it, wherever this one was stopped. Its number is higher than
 * those of all before it: the last one stays when the run has ended. Rejects with DISK.
 */
export async function makeDrafts(directory: string, disk: Disk): Promise<string> {
  try {
    for (;;) {
      const numbers = (await disk.list(directory)).map(numberOf).filter((number) => number !== undefined);
      const path = join(directory, `.drafts-${Math.max(0, ...numbers) + 1}`);
      if (await makeIfNew(path, disk)) return path;
    }
  } catch (error) {
    throw diskError(directory, error);
  }
}

/**
 * The fence: removes the folders of other coordinators. Whoever wrote there and was only stopped cannot give a name to anything
 * any more, on no host, and what it had given one before is there to be read. Needs the lock. Rejects with DISK.
 */
export async function putUpFence(directory: string, mine: string, lock: RunLock, disk: Disk): Promise<void> {
  const ours = numberOf(basename(mine));
  assert(ours !== undefined, 'drafts are in a folder that makeDrafts made');
  try {
    for (const name of await disk.list(directory)) {
      const number = numberOf(name);
      if (number === undefined || number === ours) continue;
      // A higher one may be of one that has taken the lock from us: then we are the one to be kept out.
      if (number < ours || (await lock.holder()) === 'we') await removeFolder(join(directory, name), disk);
    }
  } catch (error) {
    throw error instanceof ClusterError ? error : diskError(directory, error);
  }
}

/** Whether nobody has put up a fence against this one. */
export async function hasDrafts(path: string, disk: Disk): Promise<boolean> {
  try {
    await disk.list(path);
    return true;
  } catch (error) {
    return systemCode(error) !== 'ENOENT';
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

function numberOf(name: string): number | undefined {
  const digits = NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
