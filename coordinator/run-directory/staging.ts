import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Disk } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { diskError } from '../../shared/disk/whole-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_LOCK_TRIES } from '../../shared/limits.ts';

/**
 * Staging folders: each coordinator of a run writes files to its own folder and then renames them
 * into the run directory. The folders are numbered; the folder with the highest number is the run's
 * lock (run-lock.ts).
 */
const NUMBERED = /^\.drafts-(\d{1,15})$/;
const NEW = /^\.drafts-new-[0-9a-f]{12}$/;
const MAX_NUMBER = 10 ** 15 - 1;

/** The staging folders in a run's directory. */
export interface StagingFolders {
  /** The highest number in a name; 0 if there is none. */
  readonly highest: number;
  /** The numbers of real folders, not of links to them, the highest first. */
  readonly numbers: readonly number[];
  /** The names of folders without a number yet. */
  readonly unnumbered: readonly string[];
}

/**
 * Lists a run's directory once: a second listing can be older than the first one, because SFTP and
 * network file systems cache listings for a while. A folder that is removed in the meantime is left
 * out.
 */
export async function findStaging(directory: string, disk: Disk): Promise<StagingFolders> {
  const names = (await disk.list(directory)).filter(isStaging);
  const folders: string[] = [];
  for (const name of names) if (await isFolder(join(directory, name), disk)) folders.push(name);
  return {
    highest: Math.max(0, ...names.flatMap((name) => numberOf(name) ?? [])),
    numbers: folders.flatMap((name) => numberOf(name) ?? []).toSorted((a, b) => b - a),
    unnumbered: folders.filter((name) => NEW.test(name)),
  };
}

/**
 * Whether a number has been taken by now. A listing alone may be out of date, so the folder is
 * checked too.
 */
export async function isTaken(number: number, directory: string, disk: Disk): Promise<boolean> {
  const { highest } = await findStaging(directory, disk);
  return highest >= number || (await isFolder(stagingPath(directory, number), disk));
}

export function stagingPath(directory: string, number: number): string {
  return join(directory, `.drafts-${number}`);
}

/** The path of a new folder without a number. */
export function newStagingPath(directory: string): string {
  return join(directory, `.drafts-new-${randomBytes(6).toString('hex')}`);
}

/** The number of the next folder. Throws DISK if no number is left. */
export function nextNumber(highest: number, directory: string): number {
  if (highest < MAX_NUMBER) return highest + 1;
  throw new ClusterError(
    'DISK',
    `${stagingPath(directory, highest)} has the highest number that a staging folder can have`,
    { fix: 'remove it if no coordinator is running this run' },
  );
}

/**
 * Removes a folder with its files, including files that are added in the meantime. Leaves anything
 * else in place, such as a link to a folder. A folder that cannot be emptied is renamed to one
 * without a number instead: FUSE keeps a removed file under another name while a process has it
 * open. Rejects with DISK.
 */
export async function removeFolder(path: string, disk: Disk): Promise<void> {
  for (let attempt = 0; attempt < MAX_LOCK_TRIES; attempt++) {
    try {
      const folder = await disk.openFolder(path);
      try {
        for (const name of await folder.list()) await folder.remove(name);
      } finally {
        await folder.close();
      }
      return await disk.removeDirectory(path);
    } catch (error) {
      const code = systemCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return;
      // NFS reports EBUSY for a removed file that a process has open.
      if (code !== 'ENOTEMPTY' && code !== 'EBUSY') throw diskError(path, error);
    }
  }
  if (NEW.test(basename(path))) return;
  try {
    await disk.rename(path, newStagingPath(dirname(path)));
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(path, error);
  }
}

export function isStaging(name: string): boolean {
  return NUMBERED.test(name) || NEW.test(name);
}

/** Whether the path is a folder. False for anything else, such as a link to a folder. */
async function isFolder(path: string, disk: Disk): Promise<boolean> {
  try {
    return await disk.isFolder(path);
  } catch (error) {
    if (error instanceof ClusterError) return false;
    throw error;
  }
}

function numberOf(name: string): number | undefined {
  const digits = NUMBERED.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
