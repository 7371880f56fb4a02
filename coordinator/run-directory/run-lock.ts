import { dirname, join } from 'node:path';
import { fateOf, LOOK_MILLISECONDS, nameOf, Watch, WATCH_MILLISECONDS } from '../../bin/owner.mjs';
import type { Owner, RecordedOwner } from '../../bin/owner.mjs';
import type { Disk } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { diskError, writeAll } from '../../shared/disk/whole-file.ts';
import type { Clock } from '../../shared/clock.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_LOCK_TRIES, MAX_RENEWALS_BYTES } from '../../shared/limits.ts';
import { LOCK_FILE } from '../../shared/files/run-layout.ts';
import {
  findStaging,
  isTaken,
  newStagingPath,
  nextNumber,
  removeFolder,
  stagingPath,
} from './staging.ts';
import { ownerSchema, type Processes } from './processes.ts';

const OWNER = 'owner.json';
const ENDED = 'ended.json';
const RENEWALS = 'renewals';

/** The disk, clock and processes that a lock works with. */
export interface LockEnvironment {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly processes: Processes;
}

/**
 * Whether a coordinator still has its run, another coordinator has taken it over, or its folder is
 * gone.
 */
export type LockStatus = 'held' | 'taken' | 'gone';

/**
 * A run's lock: the staging folder with the highest number and an owner.json. The folder is
 * completed under another name and then renamed to the next number. Only one process can do that,
 * on any file system, without hard links or a comparison of times. A folder is never empty while
 * its number is the highest, so no number is used twice.
 *
 * The folder is also the fence: its owner writes all files there before it renames them, and the
 * next owner removes the folder before it reads anything. An owner that was suspended between any
 * two instructions then has nothing left to rename.
 *
 * lock.json records the owner for older versions. This version reads it only if no folder has an
 * owner.
 */
export class RunLock {
  /** The folder in which the owner writes files before it renames them. */
  readonly staging: string;
  readonly #directory: string;
  readonly #number: number;
  readonly #disk: Disk;
  readonly #lockText: string;
  #renewals = 0;

  private constructor(directory: string, number: number, owner: Owner, disk: Disk) {
    this.staging = stagingPath(directory, number);
    this.#directory = directory;
    this.#number = number;
    this.#disk = disk;
    const { host, boot, pid, started } = owner;
    this.#lockText = `${JSON.stringify({ host, boot, pid, started })}\n`;
  }

  /**
   * Takes the lock if it is free, if its owner has ended or, with `takeOver`, if this host cannot
   * see whether its owner is still running. `takeOver` applies only to the owner found first: while
   * this process was suspended, the user may have let another one take over. Rejects with LOCKED,
   * naming the owner, or with DISK.
   */
  static async take(
    directory: string,
    takeOver: boolean,
    environment: LockEnvironment,
  ): Promise<RunLock> {
    try {
      let first: string | undefined;
      for (let attempt = 0; attempt < MAX_LOCK_TRIES; attempt++) {
        const held = await find(directory, environment.disk);
        const isMeant = takeOver && held.text === (first ??= held.text);
        if (held.owner !== undefined && !(await mayTake(held, directory, isMeant, environment)))
          continue;
        const number = nextNumber(held.highest, directory);
        const lock = await RunLock.#enter(directory, number, environment);
        if (lock !== undefined) return lock;
      }
    } catch (error) {
      throw error instanceof ClusterError ? error : diskError(directory, error);
    }
    throw new ClusterError('LOCKED', `other coordinators took the lock of ${directory} first`, {
      fix: 'try again when they have ended',
    });
  }

  /** Takes the lock with this number; resolves with undefined if another process was faster. */
  static async #enter(
    directory: string,
    number: number,
    { disk, processes }: LockEnvironment,
  ): Promise<RunLock | undefined> {
    const owner = processes.self();
    const lock = new RunLock(directory, number, owner, disk);
    let path = newStagingPath(directory);
    await disk.makeDirectory(path);
    try {
      const record: LockOwner = { ...owner, inode: await disk.inode(path) };
      await write(disk, join(path, OWNER), `${JSON.stringify(record)}\n`);
      await disk.rename(path, lock.staging);
      path = lock.staging;
      // If this process was suspended before the rename, higher numbers may exist by now.
      const { highest } = await findStaging(directory, disk);
      if (highest > number) await removeFolder(path, disk);
      else await lock.#tellOlderVersions();
      return highest > number ? undefined : lock;
    } catch (error) {
      await removeFolder(path, disk);
      // A newer owner has removed the folder, or the number is taken, which file systems report
      // with many different errors.
      if (systemCode(error) === 'ENOENT') return undefined;
      if (await isTaken(number, directory, disk)) return undefined;
      throw error;
    }
  }

  /** Fences off all earlier coordinators by removing their staging folders. Rejects with DISK. */
  async removeOlderStaging(): Promise<void> {
    try {
      const { numbers, unnumbered } = await findStaging(this.#directory, this.#disk);
      for (const number of numbers)
        if (number < this.#number)
          await removeFolder(stagingPath(this.#directory, number), this.#disk);
      for (const name of unnumbered) await removeFolder(join(this.#directory, name), this.#disk);
    } catch (error) {
      throw error instanceof ClusterError ? error : diskError(this.#directory, error);
    }
  }

  async status(): Promise<LockStatus> {
    let staging;
    try {
      staging = await findStaging(this.#directory, this.#disk);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return 'gone';
      throw error;
    }
    const { highest, numbers } = staging;
    if (!numbers.includes(this.#number)) return highest > this.#number ? 'taken' : 'gone';
    for (const number of numbers.filter((other) => other > this.#number))
      if (
        (await readText(join(stagingPath(this.#directory, number), OWNER), this.#disk)) !==
        undefined
      )
        return 'taken';
    return 'held';
  }

  /** Shows other processes that the owner is still running. Rejects with the disk's error. */
  async renew(): Promise<void> {
    const path = join(this.staging, RENEWALS);
    this.#renewals += 1;
    if (this.#renewals % MAX_RENEWALS_BYTES === 0) await this.#disk.remove(path);
    const file = await this.#disk.append(path);
    try {
      await writeAll(file, Buffer.from('.'));
    } finally {
      await file.close();
    }
  }

  /** Releases the lock, unless another process has it by now. Rejects with DISK. */
  async release(): Promise<void> {
    try {
      const [lock, draft] = [join(this.#directory, LOCK_FILE), join(this.staging, LOCK_FILE)];
      if ((await readText(lock, this.#disk)) === this.#lockText)
        await this.#disk.rename(lock, draft);
      await this.#disk.remove(draft);
      await this.#disk.rename(join(this.staging, OWNER), join(this.staging, ENDED));
      await this.#disk.remove(join(this.staging, RENEWALS));
    } catch (error) {
      // Another process took the lock in the meantime.
      if (systemCode(error) !== 'ENOENT') throw diskError(this.staging, error);
    }
  }

  /** The error for a coordinator that has lost the run. */
  lost(status: Exclude<LockStatus, 'held'>): ClusterError {
    if (status === 'taken')
      return new ClusterError('LOCKED', `${this.#directory} was taken over by another coordinator`);
    return new ClusterError(
      'DISK',
      `${this.#directory} is gone: it was removed or renamed while this coordinator was ` +
        'running it',
      { fix: 'move it back and resume it with --resume, or start another run' },
    );
  }

  async #tellOlderVersions(): Promise<void> {
    const draft = join(this.staging, LOCK_FILE);
    await write(this.#disk, draft, this.#lockText);
    await this.#disk.rename(draft, join(this.#directory, LOCK_FILE));
  }
}

/**
 * The process that may be writing to a run's directory, as the subject of a sentence; undefined if
 * there is none.
 */
export async function writerOf(
  directory: string,
  disk: Disk,
  processes: Processes,
): Promise<string | undefined> {
  const found = await find(directory, disk).catch((error: unknown) => {
    // A missing directory has no writer.
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new ClusterError('DATA', `the lock of ${directory} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  });
  if (found?.owner === undefined) return undefined;
  const { owner, path } = found;
  if (owner === 'unknown') return `the owner of ${path}, if it is still running,`;
  const fate = fateOf(owner, processes);
  if (fate === 'gone' || fate === 'rebooted') return undefined;
  const isCertain = fate === 'running' && !(await isCopy(found, disk));
  return isCertain ? nameOf(owner) : `${nameOf(owner)}, if it is still running,`;
}

/** The content of owner.json. */
type LockOwner = RecordedOwner & { readonly inode?: string | undefined };

/** A lock as found in a run directory. */
interface Found {
  readonly highest: number;
  /** Undefined for a free lock; `unknown` if another version wrote a different format. */
  readonly owner: LockOwner | 'unknown' | undefined;
  readonly path: string;
  readonly text: string;
}

async function find(directory: string, disk: Disk): Promise<Found> {
  const { highest, numbers } = await findStaging(directory, disk);
  const lock = join(directory, LOCK_FILE);
  const owners = numbers.slice(0, 1).map((number) => join(stagingPath(directory, number), OWNER));
  for (const path of [...owners, lock]) {
    const text = await readText(path, disk);
    if (text !== undefined) return { highest, owner: parseOwner(text), path, text };
  }
  return { highest, owner: undefined, path: lock, text: '' };
}

/**
 * Text that is not JSON was written only in part: a power cut ended its owner, so the lock is free.
 */
function parseOwner(text: string): Found['owner'] {
  try {
    return ownerSchema.safeParse(JSON.parse(text)).data ?? 'unknown';
  } catch {
    return undefined;
  }
}

/**
 * Whether a lock with an owner may be taken; false if the lock has changed and must be read again.
 * Rejects with LOCKED if it must not be taken.
 */
async function mayTake(
  found: Found,
  directory: string,
  takeOver: boolean,
  environment: LockEnvironment,
): Promise<boolean> {
  const { owner, path } = found;
  if (owner === undefined) return true;
  const { disk, processes } = environment;
  const judged = owner === 'unknown' ? 'elsewhere' : fateOf(owner, processes);
  const copied = judged === 'running' && (await isCopy(found, disk));
  const fate = copied ? 'elsewhere' : judged;
  const name = owner === 'unknown' ? 'a process of another version' : nameOf(owner);
  if (fate === 'gone') return true;
  if (fate === 'running')
    throw new ClusterError('LOCKED', `${name} is running this run (${path})`, {
      fix: 'wait for it, stop it, or start another run',
    });
  if (takeOver) return true;
  const seen = await watch(found, directory, environment);
  if (seen === 'changed') return false;
  if (seen === 'renewed')
    throw new ClusterError(
      'LOCKED',
      `${name} is running this run: it has just renewed its lock (${path})`,
      {
        fix:
          'wait for it, stop it on its machine, or start another run; --take-over takes the ' +
          'run away from it',
      },
    );
  if (fate === 'rebooted') return true;
  throw new ClusterError(
    'LOCKED',
    `${name} has the lock of this run (${path}) and has not renewed it for ` +
      `${WATCH_MILLISECONDS / 1000} s; ` +
      (copied
        ? 'this directory seems to be a copy of the one in use'
        : `this host cannot see whether it is still running${whereOf(owner, processes.self())}`),
    {
      fix: `if that process ${copied ? 'does not use this copy' : 'has ended'}, set --take-over`,
    },
  );
}

/**
 * Whether the lock's folder seems to be a copy from another run directory, including its owner's
 * record. Some file systems change inodes, so the owner may be using this folder after all; its
 * renewals decide.
 */
async function isCopy({ owner, path }: Found, disk: Disk): Promise<boolean> {
  if (owner === undefined || owner === 'unknown' || owner.inode === undefined) return false;
  try {
    return owner.inode !== (await disk.inode(dirname(path)));
  } catch (error) {
    // A newer owner has removed the folder.
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Why this process cannot see the owner, although the owner is on this host. */
function whereOf(owner: RecordedOwner | 'unknown', here: Owner): string {
  if (owner === 'unknown' || owner.host !== here.host) return '';
  return owner.namespace === undefined
    ? ' (an older version wrote the lock)'
    : " (it is in another pid namespace, such as a container's)";
}

/**
 * Watches a lock until its owner renews it, it changes in any other way, or WATCH_MILLISECONDS have
 * passed.
 */
async function watch(
  found: Found,
  directory: string,
  { disk, clock }: LockEnvironment,
): Promise<'renewed' | 'unmoved' | 'changed'> {
  const renewals = join(found.path, '..', RENEWALS);
  const show = async () => (await readText(renewals, disk)) ?? '';
  const seen = new Watch(await show(), clock.now());
  while (seen.unmoved < WATCH_MILLISECONDS) {
    await new Promise<void>((resolve) => clock.after(LOOK_MILLISECONDS, resolve));
    const { path, text } = await find(directory, disk);
    if (path !== found.path || text !== found.text) return 'changed';
    seen.look(await show(), clock.now());
    if (seen.isRenewed) return 'renewed';
  }
  return 'unmoved';
}

async function write(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.create(path);
  try {
    await writeAll(file, Buffer.from(text));
  } finally {
    await file.close();
  }
}

/** A file's text; undefined if the file is missing. */
async function readText(path: string, disk: Disk): Promise<string | undefined> {
  try {
    return Buffer.from(await disk.read(path)).toString();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
