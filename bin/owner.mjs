import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/**
 * Shared by all locks in mnist-dist: who owns a lock, whether that process is running, and whether
 * it has renewed the lock. This is plain JavaScript because the first start takes a lock before the
 * build.
 */

/**
 * A process that owns a lock. `host` and `boot` identify the machine and its current boot,
 * `namespace` is the pid namespace of `pid`, and `started` distinguishes processes that reused the
 * same pid.
 * @typedef {object} Owner
 * @property {string} host
 * @property {string} boot
 * @property {string} namespace
 * @property {number} pid
 * @property {string} started start time in clock ticks since boot
 */

/**
 * An owner as recorded by any version; older versions record fewer fields.
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
 * @property {(pid: number, started: string) => boolean} isRunning whether the process with this pid
 * and start time is still running
 * @property {(started: string) => boolean} mayRunUnseen whether a process with this start time may
 * be running under a different pid
 */

/**
 * The state of an owner as seen by this process. `elsewhere`: this process cannot see it, because
 * it is on another host or in another pid namespace, or because an older version did not record its
 * namespace. `rebooted`: this host, or a different one with the same name, has rebooted since the
 * owner took the lock.
 * @typedef {'running' | 'gone' | 'rebooted' | 'elsewhere'} Fate
 */

/** A machine's initial pid namespace; the kernel always gives it this number. */
const FIRST_NAMESPACE = 'pid:[4026531836]';
/** How often an owner renews its lock. */
export const RENEW_MILLISECONDS = 2_000;
/** How long a lock is watched if its owner may be gone: several renewal intervals. */
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
 * Whether the process with this pid and start time is still running. A zombie is not running.
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
    // Even if /proc hides other users' processes (hidepid), a signal still reaches them.
    return codeOf(error) === 'EPERM';
  }
}

/**
 * Whether a process with this start time may be running on this machine. Its pid does not identify
 * it, since pids differ between pid namespaces. Only a process in the machine's initial pid
 * namespace can see all processes, and only if /proc hides none of them. With hidepid it cannot see
 * process 1, which belongs to root.
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
  // The pid and the start time may still match a process that this one can see.
  if (isRunning(owner.pid, owner.started)) return 'running';
  return owner.boot === undefined || mayRunUnseen(owner.started) ? 'elsewhere' : 'gone';
}

/** @param {RecordedOwner} owner */
export function nameOf({ pid, host }) {
  return `process ${pid} on ${host}`;
}

/**
 * Watches whether the owner of a lock renews it. Measures the time between this process's own
 * reads, which excludes time during which it was suspended and does not depend on another host's
 * clock.
 */
export class Watch {
  #seen = '';
  #looked = 0;
  #unmoved = 0;
  #isRenewed = false;

  /**
   * @param {string} seen the lock's content now
   * @param {number} now milliseconds on this process's monotonic clock
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
 * The code of a system error, such as "ENOENT"; undefined for any other error.
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
 * The start time of a listed process; undefined if the process has ended since. Throws if the start
 * time cannot be read.
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
  // The name, in parentheses, may contain spaces. The third field, the state, follows it; field 22
  // is the start time.
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
