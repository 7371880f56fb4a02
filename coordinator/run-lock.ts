import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Disk } from '../data/disk.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError, writeAll } from '../data/whole-file.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { processSchema, type ProcessIdentity, type Processes } from './processes.ts';

/** The lock of a run's directory: one coordinator writes there. */
export class RunLock {
  readonly #path: string;
  readonly #disk: Disk;
  readonly #owner: ProcessIdentity;

  private constructor(path: string, disk: Disk, owner: ProcessIdentity) {
    this.#path = path;
    this.#disk = disk;
    this.#owner = owner;
  }

  /**
   * Takes the lock, also from a process of this host that is gone, and with `takeOver` from another host's, of which nobody
   * here can tell. Rejects with LOCKED, naming the owner, or DISK.
   */
  static async take(
    directory: string,
    takeOver: boolean,
    disk: Disk,
    processes: Processes,
    drafts: string,
  ): Promise<RunLock> {
    const path = join(directory, 'lock.json');
    const mine = join(drafts, `.lock.${randomBytes(6).toString('hex')}.tmp`);
    try {
      const self = processes.self();
      await write(disk, mine, `${JSON.stringify(self)}\n`);
      // A link appears whole, and only where there is none.
      if (await linkIfFree(disk, mine, path)) return new RunLock(path, disk, self);
      const owner = await readOwner(disk, path);
      if (typeof owner === 'object') refuseLiving(owner, path, takeOver, processes);
      await disk.rename(mine, path);
      return new RunLock(path, disk, self);
    } catch (error) {
      if (error instanceof ClusterError) throw error;
      // Our drafts are gone: another coordinator has put up its fence meanwhile.
      if (systemCode(error) === 'ENOENT')
        throw new ClusterError('LOCKED', `${directory} was taken over by another coordinator`);
      throw diskError(path, error);
    } finally {
      await disk.remove(mine);
    }
  }

  /** Who holds the lock: we, another process, or nobody. */
  async holder(): Promise<'we' | 'another' | 'nobody'> {
    const owner = await readOwner(this.#disk, this.#path);
    if (owner === 'none') return 'nobody';
    return typeof owner === 'object' && isSame(owner, this.#owner) ? 'we' : 'another';
  }

  /** Another's stays. */
  async release(): Promise<void> {
    if ((await this.holder()) === 'we') await this.#disk.remove(this.#path);
  }
}

/** Who may be at work in a run's directory, without touching its lock; undefined where certainly nobody is. */
export async function writerOf(
  directory: string,
  disk: Disk,
  { self, startOf }: Processes,
): Promise<string | undefined> {
  const path = join(directory, 'lock.json');
  const owner = await readOwner(disk, path).catch((error: unknown) => {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  if (typeof owner !== 'object') return undefined;
  const here = self();
  const isGone =
    owner.host === here.host && (owner.boot !== here.boot || startOf(owner.pid) !== owner.started);
  return isGone ? undefined : `process ${owner.pid} on ${owner.host}`;
}

async function write(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.create(path);
  try {
    await writeAll(file, Buffer.from(text));
  } finally {
    await file.close();
  }
}

async function linkIfFree(disk: Disk, from: string, to: string): Promise<boolean> {
  try {
    await disk.link(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** `none` where there is no file, `torn` where it was never written whole. */
async function readOwner(disk: Disk, path: string): Promise<ProcessIdentity | 'none' | 'torn'> {
  try {
    const text = Buffer.from(await disk.read(path)).toString();
    return processSchema.safeParse(JSON.parse(text)).data ?? 'torn';
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 'none';
    if (error instanceof SyntaxError) return 'torn';
    throw error;
  }
}

function isSame(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.host === b.host && a.boot === b.boot && a.pid === b.pid && a.started === b.started;
}

function refuseLiving(owner: ProcessIdentity, path: string, takeOver: boolean, processes: Processes): void {
  const who = `process ${owner.pid} on ${owner.host}`;
  const here = processes.self();
  if (owner.host === here.host && owner.boot === here.boot) {
    if (processes.startOf(owner.pid) !== owner.started) return;
    throw new ClusterError('LOCKED', `${who} is at work on this run (${path})`, {
      fix: 'wait for it, stop it, or start another run',
    });
  }
  if (owner.host === here.host || takeOver) return;
  throw new ClusterError(
    'LOCKED',
    `${who} has the lock of this run (${path}); from here nobody can tell if it lives`,
    {
      fix: 'if it is gone for good, give --take-over',
    },
  );
}
