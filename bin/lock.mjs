import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeFolders, readText } from './files.mjs';
import {
  codeOf,
  fateOf,
  nameOf,
  RENEW_MILLISECONDS,
  systemProcesses,
  thisProcess,
} from './owner.mjs';
import { Watch, WATCH_MILLISECONDS } from './owner.mjs';

/**
 * The set-up lock lets one process run set-up at a time. A lock is a folder that contains
 * owner.json and a folder named after a token, in which the owner works and renews the lock. A
 * process creates the complete lock under a different name and renames it into place. A process
 * that takes a lock over first renames it away together with the owner's files. An owner that was
 * only suspended can then no longer rename its files into place, and starts again. The lock
 * protects only a cache, so it is safe to take over a lock that is no longer renewed.
 */
const OWNER_FILE = 'owner.json';
const RENEWALS_FILE = 'renewals';
/** Names the owner's folder. */
const TOKEN = /^[0-9a-f]{12}$/;
const RETRY_MILLISECONDS = 200;
/** Interval between progress lines while waiting for the lock. */
const PROGRESS_MILLISECONDS = 15_000;
/** How long a lock may go without a renewal before it is taken over. */
export const EXPIRY_MILLISECONDS = 120_000;
/** Longest wait for a lock whose owner keeps renewing it. */
export const MAX_WAIT_MILLISECONDS = 1_800_000;
/** Error codes for renaming onto a folder that is not empty. */
const TAKEN = new Set(['ENOTEMPTY', 'EEXIST']);
/** How many times a process may lose the lock before it gives up. */
const MAX_LOSSES = 3;

/** @typedef {import('./owner.mjs').RecordedOwner & { token?: string | undefined }} LockOwner */

/**
 * The content of a lock.
 * @typedef {object} FoundLock
 * @property {LockOwner | undefined} owner undefined if owner.json does not identify an owner
 * @property {string} text content of owner.json
 * @property {string} renewals changes with each renewal
 */

/** @typedef {{ now(): number, sleep(milliseconds: number): Promise<unknown> }} Time */

/** @type {Time} */
const systemTime = { now: () => performance.now(), sleep: (milliseconds) => sleep(milliseconds) };

/** Thrown if a lock cannot be acquired; `fix` says what to do about it. */
export class LockError extends Error {
  /**
   * @param {string} message
   * @param {string} fix for the lock of set-up
   * @param {boolean} isForeign whether something else is at the lock's path
   */
  constructor(message, fix, isForeign = false) {
    super(message);
    this.fix = fix;
    this.isForeign = isForeign;
  }
}

/** A lock that this process owns. */
class Lease {
  /** The owner's folder. A rename out of it fails once another process has taken the lock. */
  folder = '';
  #directory = '';
  #text = '';

  /**
   * @param {string} directory
   * @param {string} token
   * @param {string} text
   */
  constructor(directory, token, text) {
    this.folder = join(directory, token);
    this.#directory = directory;
    this.#text = text;
  }

  get isHeld() {
    return existsSync(this.folder);
  }

  /**
   * Call this before every change other than a rename out of the folder. Throws if another process
   * has taken the lock.
   */
  check() {
    if (!this.isHeld) throw new Error(`${this.#directory} was taken over by another process`);
  }

  /**
   * Moves `fresh`, which is in the owner's folder, to `target`. A folder already at `target` first
   * moves into the owner's folder. Throws if another process has taken the lock.
   * @param {string} fresh
   * @param {string} target
   */
  replace(fresh, target) {
    this.check();
    if (existsSync(target)) {
      try {
        renameSync(target, join(this.folder, 'old'));
      } catch (error) {
        // overlayfs cannot rename a folder of a lower layer, such as one in a container's image.
        if (codeOf(error) !== 'EXDEV') throw error;
        rmSync(target, { recursive: true });
      }
    }
    renameSync(fresh, target);
  }

  renew() {
    try {
      appendFileSync(join(this.folder, RENEWALS_FILE), '.');
    } catch {
      // If the lock is lost, the next rename fails; if the disk is full, the lock may expire.
    }
  }

  release() {
    if (this.isHeld) takeAway(this.#directory, this.#text);
  }
}

/**
 * Runs `action` under the lock and releases the lock afterwards, even after an error. Runs `action`
 * again if another process took the lock over in the meantime. `say` receives lines about waiting
 * and takeovers. Throws LockError if the lock cannot be acquired.
 * @template T
 * @param {string} directory
 * @param {(lease: Pick<Lease, 'folder' | 'check' | 'replace'>) => Promise<T>} action
 * @param {(line: string) => void} say
 * @param {Time} time
 * @returns {Promise<T>}
 */
export async function withLock(directory, action, say = () => {}, time = systemTime) {
  for (let losses = 1; ; losses++) {
    const lease = await acquire(directory, say, time);
    const renewing = setInterval(() => lease.renew(), RENEW_MILLISECONDS).unref();
    try {
      return await action(lease);
    } catch (error) {
      if (lease.isHeld) throw error;
      if (losses === MAX_LOSSES) throw lost(directory);
      say(`another process took over ${directory} while this one was suspended; starting again`);
    } finally {
      clearInterval(renewing);
      lease.release();
    }
  }
}

/**
 * The owner of a lock, for `doctor`; undefined if the lock is free or the owner's process is gone.
 * Watches the lock until it is renewed, for a few seconds at most. Throws LockError if something
 * else is at its path.
 * @param {string} directory
 * @param {Time} time
 * @returns {Promise<{ owner: string, isRenewed: boolean, expires: boolean } | undefined>}
 */
export async function lockHolder(directory, time = systemTime) {
  const first = find(directory);
  if (first === undefined || fate(first.owner) === 'gone') return undefined;
  if (first.owner === undefined) requireLock(directory);
  const watch = new Watch(first.renewals, time.now());
  while (watch.unmoved < WATCH_MILLISECONDS && !watch.isRenewed) {
    await time.sleep(RETRY_MILLISECONDS);
    const found = find(directory);
    if (found?.text !== first.text) return undefined;
    watch.look(found.renewals, time.now());
  }
  const expires = limitOf(first) < Infinity;
  return { owner: nameOfOwner(first), isRenewed: watch.isRenewed, expires };
}

/**
 * The folders of a lock whose owner's process is gone, with what it left in them: the lock itself,
 * and locks that were being created or removed. Acquiring the lock removes them.
 * @param {string} directory
 * @returns {string[]}
 */
export function abandonedLocks(directory) {
  return [directory, ...asides(directory)].filter(isAbandoned);
}

/**
 * @param {string} directory
 * @param {(line: string) => void} say
 * @param {Time} time
 */
async function acquire(directory, say, time) {
  makeFolders(dirname(directory));
  const begun = time.now();
  /** @type {{ text: string, watch: Watch } | undefined} */
  let watched;
  let told = -Infinity;
  for (;;) {
    const lease = tryAcquire(directory);
    if (lease !== undefined) return lease;
    const found = find(directory);
    const now = time.now();
    if (found === undefined) watched = undefined;
    else if (watched?.text === found.text) watched.watch.look(found.renewals, now);
    else watched = { text: found.text, watch: new Watch(found.renewals, now) };
    if (found !== undefined && watched !== undefined) {
      if (found.owner === undefined) requireLock(directory);
      const who = nameOfOwner(found);
      const { unmoved } = watched.watch;
      const isGone = fate(found.owner) === 'gone';
      if (isGone || unmoved >= limitOf(found)) {
        requireLock(directory);
        const why = isGone ? 'is gone' : `has not renewed it for ${seconds(unmoved)} s`;
        if (takeAway(directory, found.text))
          say(`taking over ${directory} from ${who}, which ${why}`);
        continue;
      }
      if (now - begun >= MAX_WAIT_MILLISECONDS) throw tooLong(directory, who, now - begun);
      if (now - told >= PROGRESS_MILLISECONDS) {
        say(
          told === -Infinity
            ? `waiting for another process (${who}), which holds the lock ${directory}`
            : `still waiting after ${seconds(now - begun)} s: ${stateOf(found, unmoved)}`,
        );
        told = now;
      }
    }
    await time.sleep(RETRY_MILLISECONDS);
  }
}

/** @param {string} directory */
function tryAcquire(directory) {
  if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) return undefined;
  const token = randomBytes(6).toString('hex');
  const made = `${directory}.${token}`;
  const text = JSON.stringify({ ...thisProcess(), token });
  try {
    mkdirSync(made);
    mkdirSync(join(made, token));
    writeFileSync(join(made, OWNER_FILE), text);
    renameSync(made, directory);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    // Another process got there first, and may have released the lock since.
    if (TAKEN.has(codeOf(error) ?? '')) return undefined;
    // Some file systems report a different error.
    if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) return undefined;
    throw error;
  }
  sweep(directory);
  return new Lease(directory, token, text);
}

/**
 * Renames a lock away and removes it. Returns false if another process has taken the lock since it
 * was read; that lock is then renamed back. Until it is back, its owner may conclude that it lost
 * the lock, and start again.
 * @param {string} directory
 * @param {string} text expected content of its owner.json
 */
function takeAway(directory, text) {
  const aside = `${directory}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(directory, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    // overlayfs cannot rename a folder of a lower layer.
    if (codeOf(error) === 'EXDEV') return removeInPlace(directory, text);
    throw error;
  }
  const isRight = (readText(join(aside, OWNER_FILE)) ?? '') === text;
  try {
    if (!isRight) renameSync(aside, directory);
  } catch {
    // A third process has taken the lock since, so the owner of the lock that was renamed away
    // starts again.
  }
  rmSync(aside, { recursive: true, force: true });
  return isRight;
}

/**
 * Removes a lock that cannot be renamed. Returns false if another process has taken it since it was
 * read. An owner whose files are removed all the same starts again.
 * @param {string} directory
 * @param {string} text expected content of its owner.json
 */
function removeInPlace(directory, text) {
  if ((readText(join(directory, OWNER_FILE)) ?? '') !== text) return false;
  rmSync(directory, { recursive: true, force: true });
  return true;
}

/**
 * Removes folders left behind by processes that died while creating or removing a lock.
 * @param {string} directory
 */
function sweep(directory) {
  for (const aside of asides(directory).filter(isAbandoned)) {
    try {
      rmSync(aside, { recursive: true, force: true });
    } catch {
      // This user may not remove it.
    }
  }
}

/**
 * The names that a lock has while it is being created or removed.
 * @param {string} directory
 */
function asides(directory) {
  const parent = dirname(directory);
  const start = `${basename(directory)}.`;
  if (!existsSync(parent)) return [];
  return readdirSync(parent)
    .filter((name) => name.startsWith(start) && TOKEN.test(name.slice(start.length)))
    .map((name) => join(parent, name));
}

/** @param {string} directory */
function isAbandoned(directory) {
  try {
    return fate(find(directory)?.owner) === 'gone' && isLock(directory);
  } catch {
    // Another process has just removed it, or this user may not read it.
    return false;
  }
}

/**
 * Whether this is a folder, not a link to one, with nothing in it but what owners of a lock create.
 * @param {string} directory
 */
function isLock(directory) {
  return (
    lstatSync(directory).isDirectory() &&
    readdirSync(directory).every((name) => name === OWNER_FILE || TOKEN.test(name))
  );
}

/**
 * Throws LockError if the user has something else at the lock's path, which must not be removed.
 * @param {string} directory
 */
function requireLock(directory) {
  let why = 'mnist-dist did not create it';
  try {
    if (isLock(directory)) return;
  } catch (error) {
    // Another process has just released the lock.
    if (codeOf(error) === 'ENOENT') return;
    why = `it cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
  throw new LockError(
    `${directory} is needed for a lock, but ${why}`,
    `move it away, or use a different cache: MNIST_DIST_CACHE=DIR`,
    true,
  );
}

/**
 * @param {string} directory
 * @returns {FoundLock | undefined} undefined if there is no lock
 */
function find(directory) {
  if (lstatSync(directory, { throwIfNoEntry: false }) === undefined) return undefined;
  const text = readText(join(directory, OWNER_FILE)) ?? '';
  const owner = parseOwner(text);
  const { token } = owner ?? {};
  const renewals = token === undefined ? '' : readText(join(directory, token, RENEWALS_FILE));
  return { owner, text, renewals: renewals ?? '' };
}

/**
 * @param {string} text
 * @returns {LockOwner | undefined}
 */
function parseOwner(text) {
  try {
    const { host, boot, namespace, pid, started, token } = JSON.parse(text);
    if (typeof host !== 'string' || !Number.isSafeInteger(pid) || pid < 1) return undefined;
    return {
      host,
      pid,
      started: String(started),
      boot: typeof boot === 'string' ? boot : undefined,
      namespace: typeof namespace === 'string' ? namespace : undefined,
      token: TOKEN.test(String(token)) ? String(token) : undefined,
    };
  } catch {
    return undefined;
  }
}

/** @param {LockOwner | undefined} owner */
function fate(owner) {
  return owner === undefined ? 'elsewhere' : fateOf(owner, systemProcesses);
}

/**
 * How long a lock may go without a renewal before another process may take it over.
 * @param {FoundLock} found
 */
function limitOf({ owner }) {
  const known = fate(owner);
  // Older versions do not renew their locks, so wait while the process is running.
  if (known === 'running' && owner?.token === undefined) return Infinity;
  return owner === undefined || known === 'rebooted' ? WATCH_MILLISECONDS : EXPIRY_MILLISECONDS;
}

/** @param {FoundLock} found */
function nameOfOwner({ owner }) {
  return owner === undefined ? 'an unidentified process' : nameOf(owner);
}

/**
 * @param {FoundLock} found
 * @param {number} unmoved
 */
function stateOf(found, unmoved) {
  const limit = limitOf(found);
  if (limit === Infinity) return 'it is running an older version, which does not renew its lock';
  if (unmoved < 2 * RENEW_MILLISECONDS) return 'it is running and renewing its lock';
  return (
    `it has not renewed its lock for ${seconds(unmoved)} s; this process takes the lock over ` +
    `after ${seconds(limit)} s`
  );
}

/**
 * @param {string} directory
 * @param {string} who
 * @param {number} waited
 */
function tooLong(directory, who, waited) {
  return new LockError(
    `another process (${who}) still holds the lock ${directory} after a wait of ` +
      `${seconds(waited)} s`,
    `stop that process, or remove ${directory} if that process is not running set-up; or ` +
      `use a different cache: MNIST_DIST_CACHE=DIR`,
  );
}

/** @param {string} directory */
function lost(directory) {
  return new LockError(
    `other processes took over ${directory} ${MAX_LOSSES} times while this one was suspended`,
    'run the command again',
  );
}

/** @param {number} milliseconds */
function seconds(milliseconds) {
  return String(Math.round(milliseconds / 1000));
}
