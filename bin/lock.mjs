import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * One set-up at a time: a lock is a directory (mkdir is atomic everywhere) with a file that names its owner. The lock
 * of a process that has died on this host is taken over; another host's is waited for. Plain JavaScript, because the
 * very first start, before anything is built, needs it too.
 */
const OWNER_FILE = 'owner.json';
const RETRY_MILLISECONDS = 200;
/** A lock without an owner: its process died between mkdir and write, if it is older than this. */
const OWNERLESS_LIMIT_MILLISECONDS = 10_000;

/**
 * Runs `action` while holding the lock and releases it whatever happens.
 * @template T
 * @param {string} directory
 * @param {() => Promise<T>} action
 * @param {(owner: string) => void} onWait called once if somebody else holds the lock
 * @returns {Promise<T>}
 */
export async function withLock(directory, action, onWait = () => {}) {
  await acquire(directory, onWait);
  try {
    return await action();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function acquire(directory, onWait) {
  mkdirSync(dirname(directory), { recursive: true });
  for (let told = false; !tryAcquire(directory); await sleep(RETRY_MILLISECONDS)) {
    const owner = readOwner(directory);
    if (isAbandoned(directory, owner)) {
      // Renaming is atomic: of two that see the dead owner, one takes the directory away and the other finds none.
      const corpse = `${directory}.${process.pid}.dead`;
      try {
        renameSync(directory, corpse);
        rmSync(corpse, { recursive: true, force: true });
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
    } else if (!told) {
      told = true;
      onWait(owner === undefined ? 'another process' : `process ${owner.pid} on ${owner.host}`);
    }
  }
}

function tryAcquire(directory) {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
  const owner = { host: hostname(), pid: process.pid, started: startTime(process.pid) };
  writeFileSync(join(directory, OWNER_FILE), JSON.stringify(owner));
  return true;
}

function readOwner(directory) {
  try {
    return JSON.parse(readFileSync(join(directory, OWNER_FILE), 'utf8'));
  } catch {
    return undefined;
  }
}

function isAbandoned(directory, owner) {
  if (owner === undefined) {
    const stat = statSync(directory, { throwIfNoEntry: false });
    return stat !== undefined && Date.now() - stat.mtimeMs > OWNERLESS_LIMIT_MILLISECONDS;
  }
  if (owner.host !== hostname()) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if (error.code === 'ESRCH') return true;
  }
  // The number is in use, but perhaps by a younger process.
  const started = startTime(owner.pid);
  return started !== undefined && owner.started !== undefined && started !== owner.started;
}

/** When a process started, in the kernel's ticks since boot; undefined where /proc does not say. */
function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
