import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
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
 * The lock of the set-up: one set-up at a time. A lock is a folder with owner.json and a folder
 * named by a token, in which the owner works and renews the lock. A process creates the lock whole
 * under another name and renames it to its path. A process that takes it over first renames it away
 * with the files of the owner, so that an owner that was only suspended cannot rename them and
 * starts again. The lock protects only a cache, so a lock that is not renewed is taken over.
 */
const OWNER_FILE = 'owner.json';
const RENEWALS_FILE = 'renewals';
const RETRY_MILLISECONDS = 200;
/** Between two lines that say what the process waits for. */
const PROGRESS_MILLISECONDS = 15_000;
/** After this time without a renewal a lock is taken over. */
export const EXPIRY_MILLISECONDS = 120_000;
/** The longest wait for a lock that is renewed. */
export const MAX_WAIT_MILLISECONDS = 1_800_000;
/** The errors of a rename to a folder that is not empty. */
const TAKEN = new Set(['ENOTEMPTY', 'EEXIST']);
/** How often an owner that lost its lock starts again. */
const MAX_LOSSES = 3;

/** @typedef {import('./owner.mjs').RecordedOwner & { token?: string | undefined }} LockOwner */

/**
 * The content of a lock.
 * @typedef {object} FoundLock
 * @property {LockOwner | undefined} owner undefined where owner.json names none
 * @property {string} text owner.json
 * @property {string} renewals changes with each renewal
 */

/** @typedef {{ now(): number, sleep(milliseconds: number): Promise<unknown> }} Time */

/** @type {Time} */
const systemTime = { now: () => performance.now(), sleep: (milliseconds) => sleep(milliseconds) };

/** A lock that could not be taken, and the fix. */
export class LockError extends Error {
  /**
   * @param {string} message
   * @param {string} fix
   */
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** A lock that this process owns. */
class Lease {
  /** The folder of the owner; a rename from it fails once another process has taken the lock. */
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
   * Call it before any change but a rename from the folder. Throws if another process has the lock.
   */
  check() {
    if (!this.isHeld) throw new Error(`${this.#directory} was taken over by another process`);
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
 * Runs `action` under the lock and releases the lock afterwards, also after an error. Runs it again
 * if another process took the lock over meanwhile. `say` gets a line about each wait. Throws
 * LockError where the lock cannot be taken.
 * @template T
 * @param {string} directory
 * @param {(lease: Pick<Lease, 'folder' | 'check'>) => Promise<T>} action
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
      say(`another process took over ${directory}, since this one was suspended; beginning again`);
    } finally {
      clearInterval(renewing);
      lease.release();
    }
  }
}

/**
 * The owner of a lock, for `doctor`; undefined where it is free, or its process is gone. An
 * owner that cannot be seen is watched for a few seconds.
 * @param {string} directory
 * @param {Time} time
 * @returns {Promise<{ owner: string, isRenewed: boolean, expires: boolean } | undefined>}
 */
export async function lockHolder(directory, time = systemTime) {
  const first = find(directory);
  if (first === undefined || fate(first.owner) === 'gone') return undefined;
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
 * @param {string} directory
 * @param {(line: string) => void} say
 * @param {Time} time
 */
async function acquire(directory, say, time) {
  mkdirSync(dirname(directory), { recursive: true });
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
      const who = nameOfOwner(found);
      const { unmoved } = watched.watch;
      const isGone = fate(found.owner) === 'gone';
      if (isGone || unmoved >= limitOf(found)) {
        const why = isGone ? 'is gone' : `has not renewed it for ${seconds(unmoved)} s`;
        if (takeAway(directory, found.text))
          say(`taking over ${directory} from ${who}, which ${why}`);
        continue;
      }
      if (now - begun >= MAX_WAIT_MILLISECONDS) throw tooLong(directory, who, now - begun);
      if (now - told >= PROGRESS_MILLISECONDS) {
        say(
          told === -Infinity
            ? `waiting for another set-up (${who}), which has the lock ${directory}`
            : `still waiting for it after ${seconds(now - begun)} s: ${stateOf(found, unmoved)}`,
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
    mkdirSync(join(made, token), { recursive: true });
    writeFileSync(join(made, OWNER_FILE), text);
    renameSync(made, directory);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    // Another process was first, and may have released the lock since.
    if (TAKEN.has(codeOf(error) ?? '')) return undefined;
    // Some file systems report other errors.
    if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) return undefined;
    throw error;
  }
  sweep(directory);
  return new Lease(directory, token, text);
}

/**
 * Renames a lock away and removes it. False if another process has taken it since it was read: that
 * lock is then renamed back. In between its owner may find that it lost the lock, and start again.
 * @param {string} directory
 * @param {string} text what its owner.json holds
 */
function takeAway(directory, text) {
  const aside = `${directory}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(directory, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
  const isRight = (readText(join(aside, OWNER_FILE)) ?? '') === text;
  try {
    if (!isRight) renameSync(aside, directory);
  } catch {
    // A third process has taken the lock; the owner of this one starts again.
  }
  rmSync(aside, { recursive: true, force: true });
  return isRight;
}

/**
 * Removes the folders of processes that died while they created or removed a lock.
 * @param {string} directory
 */
function sweep(directory) {
  const parent = dirname(directory);
  const start = `${basename(directory)}.`;
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(start) || !/^[0-9a-f]{12}$/.test(name.slice(start.length))) continue;
    const found = find(join(parent, name));
    if (fate(found?.owner) === 'gone') rmSync(join(parent, name), { recursive: true, force: true });
  }
}

/**
 * @param {string} directory
 * @returns {FoundLock | undefined} undefined where there is no lock
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
      token: /^[0-9a-f]{12}$/.test(String(token)) ? String(token) : undefined,
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
 * How long a lock may stay unchanged before it is taken from its owner.
 * @param {FoundLock} found
 */
function limitOf({ owner }) {
  const known = fate(owner);
  // An older version does not renew its lock: wait for it while it is running.
  if (known === 'running' && owner?.token === undefined) return Infinity;
  return owner === undefined || known === 'rebooted' ? WATCH_MILLISECONDS : EXPIRY_MILLISECONDS;
}

/** @param {FoundLock} found */
function nameOfOwner({ owner }) {
  return owner === undefined ? 'a process without a name' : nameOf(owner);
}

/**
 * @param {FoundLock} found
 * @param {number} unmoved
 */
function stateOf(found, unmoved) {
  const limit = limitOf(found);
  if (limit === Infinity) return 'it is running, and of an older version, which renews no lock';
  if (unmoved < 2 * RENEW_MILLISECONDS) return 'it is running and renews its lock';
  return (
    `it has not renewed its lock for ${seconds(unmoved)} s; after ${seconds(limit)} s this ` +
    `process takes it over`
  );
}

/**
 * @param {string} directory
 * @param {string} who
 * @param {number} waited
 */
function tooLong(directory, who, waited) {
  return new LockError(
    `another set-up (${who}) has had the lock ${directory} for ${seconds(waited)} s and is ` +
      `not done`,
    `Stop that process, or remove ${directory} if it does no set-up; or name a cache of ` +
      `your own: MNIST_DIST_CACHE=DIR`,
  );
}

/** @param {string} directory */
function lost(directory) {
  return new LockError(
    `other processes took over ${directory} ${MAX_LOSSES} times, since this one was ` +
      `suspended for long`,
    'Run it again.',
  );
}

/** @param {number} milliseconds */
function seconds(milliseconds) {
  return String(Math.round(milliseconds / 1000));
}

/** @param {string} file */
function readText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
