import { closeSync, fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * SIGHUP says that the terminal was closed. Node resets a SIGHUP that nohup made ignored, so the process itself decides:
 * with a terminal among its streams SIGHUP ends it, without one it is ignored. Plain JavaScript, for the time before the
 * build; cli/signals.ts is what comes after.
 */

/** Looked at when the process begins: isatty does not know a terminal that was closed. */
const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
/** Programs of the set-up that a closed terminal does not reach. */
const children = new Set();

/** Ends this process and its programs on a signal, as long as nothing else listens for it. */
export function watchSignals() {
  for (const [signal, code] of Object.entries(exitCodes)) {
    process.on(signal, () => {
      if (process.listenerCount(signal) > 1 || (signal === 'SIGHUP' && !hasTerminal)) return;
      for (const child of children) process.kill(-child.pid, 'SIGTERM');
      leaveClosedTerminals();
      process.exit(code);
    });
  }
}

/** Options with which a program is started: where SIGHUP is ignored, in a process group that the terminal does not know. */
export const spawnOptions = { detached: !hasTerminal };

/** A program that was started with these options ends with this process. */
export function endWithUs(child) {
  if (hasTerminal || child.pid === undefined) return;
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/** Node aborts at its end where it cannot restore the settings of a terminal, as of one that was closed. */
function leaveClosedTerminals() {
  for (const descriptor of [0, 1, 2]) {
    try {
      if (!isatty(descriptor) && fstatSync(descriptor).isCharacterDevice()) closeSync(descriptor);
    } catch {
      // It was closed before.
    }
  }
}
