import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Shared by all locks of mnist-dist: the owner, whether its process is running, and whether it has
 * renewed the lock. Plain JavaScript, because the first start locks before the build.
 */

/**
 * A process that owns a lock. Host and boot identify the machine and its restart; `namespace` is
 * the pid namespace of `pid`; `started` distinguishes processes that had the same pid.
 * @typedef {object} Owner
 * @property {string} host
 * @property {string} boot
 * @property {string} namespace
 * @property {number} pid
 * @property {string} started in clock ticks since the boot
 */

/**
 * An owner as recorded by any version; older versions record less.
 * @typedef {object} RecordedOwner
 * @property {string} host
 * @property {number} pid
 * @property {string} started
 * @property {string | undefined} [boot]
 * @property {string | undefined} [namespace]
 */

/**
 * This process, and the others on its host.
 * @typedef {object} Processes
 * @property {() => Owner} self
 * @property {(pid: number, started: string) => boolean} isRunning whether the process that had this
 * number and start is still running
 * @property {(started: string) => boolean} mayRunUnseen whether a process with this start may run
 * under another number
 */

/**
 * The state of an owner as seen by this process. `elsewhere`: this process cannot see it, because
 * it is on another host or in another pid namespace, or an older version did not record where it
 * is. `rebooted`: this host, or another one with its name, has booted since.
 * @typedef {'running' | 'gone' | 'rebooted' | 'elsewhere'} Fate
 */

/** The pid namespace in which a machine boots; the kernel gives it this number. */
const FIRST_NAMESPACE = 'pid:[4026531836]';
/** How often an owner renews its lock. */
export const RENEW_MILLISECONDS = 2_000;
/** How long a lock is watched whose owner may be gone: several renewals. */
export const WATCH_MILLISECONDS = 6_000;
/** How often a watched lock is read. */
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
 * Whether the process that had this number and start is still running. A zombie is not running.
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
 * Whether a process with this start may run on this machine under any number, because it has
 * another number in each pid namespace. Only a process in the first pid namespace of the machine
 * sees all processes, and only if /proc hides none from it: with hidepid it cannot read the first
 * process, which belongs to root.
 * @param {string} started
 */
export function mayRunUnseen(started, proc = '/proc') {
  if (!/^[1-9]\d*$/.test(started)) return true;
  try {
    if (readlinkSync(`${proc}/self/ns/pid`) !== FIRST_NAMESPACE) return true;
    const pids = readdirSync(proc).filter((name) => /^\d+$/.test(name));
    return !pids.includes('1') || pids.some((pid) => startIn(`${proc}/${pid}/stat`) === started);
  } catch {
    return true;
  }
}

/** @type {Processes} */
export const systemProcesses = { self: thisProcess, isRunning, mayRunUnseen };

/**
 * @param {RecordedOwner} owner
 * @param {Processes} processes
 * @returns {Fate}
 */
export function fateOf(owner, { self, isRunning, mayRunUnseen }) {
  const here = self();
  if (owner.host !== here.host) return 'elsewhere';
  if (owner.boot !== undefined && owner.boot !== here.boot) return 'rebooted';
  if (owner.namespace === here.namespace)
    return isRunning(owner.pid, owner.started) ? 'running' : 'gone';
  if (owner.namespace !== undefined) return 'elsewhere';
  // Number and start may still be those of a process that this one can see.
  if (isRunning(owner.pid, owner.started)) return 'running';
  return owner.boot === undefined || mayRunUnseen(owner.started) ? 'elsewhere' : 'gone';
}

/** @param {RecordedOwner} owner */
export function nameOf({ pid, host }) {
  return `process ${pid} on ${host}`;
}

/**
 * Watches a lock that its owner renews. Only the time between two reads of this process counts, not
 * the time in which it was suspended, and no clock of another host.
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

  /** Milliseconds since the last change. */
  get unmoved() {
    return this.#unmoved;
  }

  /** Whether the lock has changed since the watch began. */
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
  return parseStat(textOr('', () => readFileSync(`/proc/${pid}/stat`, 'utf8')));
}

/**
 * The start of a listed process; undefined if it has ended since. Throws if it cannot be read.
 * @param {string} path
 */
function startIn(path) {
  try {
    const stat = parseStat(readFileSync(path, 'utf8'));
    if (stat === undefined) throw new Error(`${path} has no start time`);
    return stat.started;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return undefined;
    throw error;
  }
}

/** @param {string} stat */
function parseStat(stat) {
  // The name, in parentheses, may contain spaces. The third field follows it; 22 is the start.
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
