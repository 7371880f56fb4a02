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
 * One set-up at a time. A lock is a folder with owner.json and a folder of its owner's, called by a
 * token, in which the owner works and which it renews. The lock is made whole under another name
 * and then renamed to its place. A process that takes it over renames it away first, with all that
 * the owner has in hand: an owner that was only suspended finds nothing to rename to its place, and
 * begins again. What a set-up lock protects is a cache, so a lock that is not renewed is taken over
 * without a question.
 */
const OWNER_FILE = 'owner.json';
const RENEWALS_FILE = 'renewals';
const RETRY_MILLISECONDS = 200;
/** Between two lines that say what is waited for. */
const PROGRESS_MILLISECONDS = 15_000;
/** A lock that was not renewed for so long is taken over. */
export const EXPIRY_MILLISECONDS = 120_000;
/** How long a lock is waited for that is renewed all the time. */
export const MAX_WAIT_MILLISECONDS = 1_800_000;
/** What a rename to a folder that is not empty fails with. */
const TAKEN = new Set(['ENOTEMPTY', 'EEXIST']);
/** How often an owner that lost its lock begins again. */
const MAX_LOSSES = 3;

/** @typedef {import('./owner.mjs').RecordedOwner & { token?: string | undefined }} LockOwner */

/**
 * What is found of a lock.
 * @typedef {object} FoundLock
 * @property {LockOwner | undefined} owner undefined where owner.json names none
 * @property {string} text owner.json
 * @property {string} renewals changes with each renewal
 */

/** @typedef {{ now(): number, sleep(milliseconds: number): Promise<unknown> }} Time */

/** @type {Time} */
const systemTime = { now: () => performance.now(), sleep: (milliseconds) => sleep(milliseconds) };

/** A lock that could not be had, and the way out. */
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

/** A lock that this process has. */
class Lease {
  /** Where its owner works; a rename from here fails once another process has taken the lock. */
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
   * Before anything that is no rename from the folder. Throws where another process has the lock.
   */
  check() {
    if (!this.isHeld) throw new Error(`${this.#directory} was taken over by another process`);
  }

  renew() {
    try {
      appendFileSync(join(this.folder, RENEWALS_FILE), '.');
    } catch {
      // The lock is lost, which the next rename finds, or the disk is full: others are in doubt.
    }
  }

  release() {
    if (this.isHeld) takeAway(this.#directory, this.#text);
  }
}

/**
 * Runs `action` while holding the lock and releases it whatever happens; again where another
 * process took the lock over meanwhile. `say` gets a line about what is waited for. Throws
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
 * Who has a lock, for `doctor`; undefined where it is free, or left by a process that is gone. An
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
    // Another process was quicker, and may have given the lock back by now.
    if (TAKEN.has(codeOf(error) ?? '')) return undefined;
    // Some file systems have other errors for it.
    if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) return undefined;
    throw error;
  }
  sweep(directory);
  return new Lease(directory, token, text);
}

/**
 * Renames a lock away and removes it. False where another process has it by now. A rename cannot be
 * bound to what was read before it: such a lock is gone for the time of two renames, in which its
 * owner may find that it lost it, and begins again.
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
    // The lock has a third owner by now; the one whose lock this is begins again.
  }
  rmSync(aside, { recursive: true, force: true });
  return isRight;
}

/**
 * Removes what processes left beside the lock that died while they made one or took one away.
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
 * How long a lock may stay as it is before it is taken from its owner.
 * @param {FoundLock} found
 */
function limitOf({ owner }) {
  const known = fate(owner);
  // An older version renews nothing: one that is running is waited for.
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
  return `it has not renewed its lock for ${seconds(unmoved)} s; after ${seconds(limit)} s this process takes it over`;
}

/**
 * @param {string} directory
 * @param {string} who
 * @param {number} waited
 */
function tooLong(directory, who, waited) {
  return new LockError(
    `another set-up (${who}) has had the lock ${directory} for ${seconds(waited)} s and is not done`,
    `Stop that process, or remove ${directory} if it does no set-up; or name a cache of your own: MNIST_DIST_CACHE=DIR`,
  );
}

/** @param {string} directory */
function lost(directory) {
  return new LockError(
    `other processes took over ${directory} ${MAX_LOSSES} times, since this one was suspended for long`,
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
