import { closeSync, fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * SIGHUP means that the terminal was closed. Node resets a SIGHUP that nohup ignores, so the
 * process decides itself: SIGHUP ends it if one of its streams is a terminal, and is ignored
 * otherwise. Plain JavaScript, because it is needed before the build; cli/processes/signals.ts
 * takes over after it.
 */

/**
 * Whether this process began with a terminal among its streams: under nohup, a service manager or a
 * scheduler it has none. Read at the start, since isatty is false for a closed terminal.
 */
export const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
/**
 * Programs of the set-up that a closed terminal does not reach.
 * @type {Set<import('node:child_process').ChildProcess>}
 */
const children = new Set();

/** Ends this process and its programs on a signal, unless another listener handles it. */
export function watchSignals() {
  for (const [signal, code] of Object.entries(exitCodes)) {
    process.on(signal, () => {
      if (process.listenerCount(signal) > 1 || (signal === 'SIGHUP' && !hasTerminal)) return;
      for (const { pid } of children) if (pid !== undefined) process.kill(-pid, 'SIGTERM');
      leaveClosedTerminals();
      process.exit(code);
    });
  }
}

/**
 * Options for starting a program: where SIGHUP is ignored, it runs in its own process group, which
 * gets no signals of the terminal.
 */
export const spawnOptions = { detached: !hasTerminal };

/**
 * Ends a program that was started with these options together with this process.
 * @param {import('node:child_process').ChildProcess} child
 */
export function endWithUs(child) {
  if (hasTerminal || child.pid === undefined) return;
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/**
 * Call it at the end of a process: Node aborts if it cannot restore a terminal that was closed.
 */
export function leaveClosedTerminals() {
  for (const descriptor of [0, 1, 2]) if (isClosedTerminal(descriptor)) closeSync(descriptor);
}

/**
 * Also true of /dev/null, which no process needs at its end.
 * @param {number} descriptor
 */
function isClosedTerminal(descriptor) {
  try {
    return !isatty(descriptor) && fstatSync(descriptor).isCharacterDevice();
  } catch {
    return false;
  }
}
