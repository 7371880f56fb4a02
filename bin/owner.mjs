import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * What every lock of mnist-dist has in common: who owns it, whether that process still runs, and
 * whether the owner has renewed it. Plain JavaScript, because the first start locks before
 * anything is built.
 */

/**
 * A process that owns a lock. Host and boot tell machines and their restarts apart, the pid
 * namespace says whose numbers `pid` counts in, `started` tells one pid from its next use.
 * @typedef {object} Owner
 * @property {string} host
 * @property {string} boot
 * @property {string} namespace
 * @property {number} pid
 * @property {string} started in clock ticks since the boot
 */

/**
 * An owner as another version may have recorded it: an older one knows less.
 * @typedef {object} RecordedOwner
 * @property {string} host
 * @property {number} pid
 * @property {string} started
 * @property {string | undefined} [boot]
 * @property {string | undefined} [namespace]
 */

/**
 * What can be told of an owner from here. `elsewhere`: it runs, if it does, where this process
 * cannot look: on another host, in another pid namespace, or an older version did not record
 * where. `rebooted`: this host, or another one with its name, has booted since.
 * @typedef {'running' | 'gone' | 'rebooted' | 'elsewhere'} Fate
 */

/** How often an owner renews its lock. */
export const RENEW_MILLISECONDS = 2_000;
/** A lock whose owner may be gone is watched so long: several renewals. */
export const WATCH_MILLISECONDS = 6_000;
/** How often a lock is looked at that is watched. */
export const LOOK_MILLISECONDS = 500;

/** @returns {Owner} */
export function thisProcess() {
  return {
    host: hostname(),
    boot: textOr('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    namespace: textOr('', () => readlinkSync('/proc/self/ns/pid')),
    pid: process.pid,
    started: statOf(process.pid)?.started ?? '',
  };
}

/**
 * Whether the process that had this number and start is still running. A zombie is not: it can do
 * nothing any more.
 * @param {number} pid
 * @param {string} started
 */
export function isRunning(pid, started) {
  const stat = statOf(pid);
  if (stat !== undefined) return stat.started === started && !/[ZXx]/.test(stat.state);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Where /proc hides the processes of other users (hidepid), a signal still finds them.
    return codeOf(error) === 'EPERM';
  }
}

/**
 * @param {RecordedOwner} owner
 * @param {Owner} here
 * @param {(pid: number, started: string) => boolean} isRunning
 * @returns {Fate}
 */
export function fateOf(owner, here, isRunning) {
  if (owner.host !== here.host) return 'elsewhere';
  if (owner.boot !== undefined && owner.boot !== here.boot) return 'rebooted';
  if (owner.namespace === here.namespace) return isRunning(owner.pid, owner.started) ? 'running' : 'gone';
  // Number and start may still be those of a process that this one can see.
  const isKnown = owner.namespace === undefined && isRunning(owner.pid, owner.started);
  return isKnown ? 'running' : 'elsewhere';
}

/** @param {RecordedOwner} owner */
export function nameOf({ pid, host }) {
  return `process ${pid} on ${host}`;
}

/**
 * Watches a lock that its owner renews. Time counts only while this process looks: one that was
 * suspended has seen nothing. No clock of another host is believed.
 */
export class Watch {
  #seen = '';
  #looked = 0;
  #unmoved = 0;
  #isRenewed = false;

  /**
   * @param {string} seen what the lock shows now
   * @param {number} now milliseconds of this process' clock, which never goes back
   */
  constructor(seen, now) {
    this.#seen = seen;
    this.#looked = now;
  }

  /**
   * @param {string} seen
   * @param {number} now
   */
  look(seen, now) {
    const passed = Math.min(now - this.#looked, 4 * LOOK_MILLISECONDS);
    this.#isRenewed ||= seen !== this.#seen;
    this.#unmoved = seen === this.#seen ? this.#unmoved + passed : 0;
    this.#seen = seen;
    this.#looked = now;
  }

  /** How long it has shown the same, in milliseconds. */
  get unmoved() {
    return this.#unmoved;
  }

  /** Whether it has shown anything else since the watch began. */
  get isRenewed() {
    return this.#isRenewed;
  }
}

/**
 * The code of a system error, "ENOENT" for instance; undefined for any other error.
 * @param {unknown} error
 * @returns {string | undefined}
 */
export function codeOf(error) {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** @param {number} pid */
function statOf(pid) {
  const stat = textOr('', () => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  // The name, in parentheses, may hold spaces; the third field follows it, the 22nd is the start.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', started] = [fields[0], fields[19]];
  return started === undefined ? undefined : { state, started };
}

/**
 * @param {string} otherwise
 * @param {() => string} read
 */
function textOr(otherwise, read) {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
