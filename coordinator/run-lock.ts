import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';

/** Who writes in a run's directory. Host and boot tell machines and their restarts apart, `started` one pid from its next use. */
const ownerSchema = z.strictObject({
  host: z.string().max(256),
  boot: z.string().max(64),
  pid: z.int().min(1),
  started: z.string().max(32),
});
type Owner = z.infer<typeof ownerSchema>;

/** The lock of a run's directory: one coordinator writes there. */
export class RunLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Takes the lock, also from a process of this host that is gone, and with `takeOver` from another host's, of which nobody
   * here can tell. Rejects with LOCKED, naming the owner, or DISK.
   */
  static async take(directory: string, takeOver: boolean): Promise<RunLock> {
    const path = join(directory, 'lock.json');
    const mine = join(directory, `.lock.${randomBytes(6).toString('hex')}.tmp`);
    try {
      await writeFile(mine, `${JSON.stringify(thisProcess())}\n`, { flag: 'wx' });
      // A link appears whole, and only where there is none.
      if (await linkIfFree(mine, path)) return new RunLock(path);
      const owner = await readOwner(path);
      if (owner !== undefined) refuseLiving(owner, path, takeOver);
      await rename(mine, path);
      return new RunLock(path);
    } catch (error) {
      throw error instanceof ClusterError ? error : diskError(path, error);
    } finally {
      await rm(mine, { force: true });
    }
  }

  async release(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

/** Who may be at work in a run's directory, without touching its lock; undefined where certainly nobody is. */
export async function writerOf(directory: string): Promise<string | undefined> {
  const path = join(directory, 'lock.json');
  const owner = await readOwner(path).catch((error: unknown) => {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  });
  if (owner === undefined) return undefined;
  const here = thisProcess();
  const isGone =
    owner.host === here.host && (owner.boot !== here.boot || startOf(owner.pid) !== owner.started);
  return isGone ? undefined : `process ${owner.pid} on ${owner.host}`;
}

async function linkIfFree(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Undefined where the file is gone by now, or was never written whole. */
async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const parsed = ownerSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
    return parsed.data;
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function refuseLiving(owner: Owner, path: string, takeOver: boolean): void {
  const who = `process ${owner.pid} on ${owner.host}`;
  const here = thisProcess();
  if (owner.host === here.host && owner.boot === here.boot) {
    if (startOf(owner.pid) !== owner.started) return;
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

function thisProcess(): Owner {
  return {
    host: hostname(),
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pid: process.pid,
    started: startOf(process.pid) ?? '',
  };
}

/** When a process of this host started, in clock ticks since the boot; undefined when there is none. */
function startOf(pid: number): string | undefined {
  try {
    // Its name, in parentheses, may hold spaces; the 22nd field is the 20th after it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ESRCH') return undefined;
    throw error;
  }
}
