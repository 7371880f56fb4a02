import { closeSync, fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * SIGHUP means that the terminal was closed. Node restores the default handling of SIGHUP even
 * under nohup, which sets it to be ignored, so this module decides: SIGHUP ends the process if one
 * of its standard streams is a terminal, and is ignored otherwise. This is plain JavaScript because
 * it is needed before the build; after the build, cli/processes/signals.ts takes over.
 */

/**
 * Whether a standard stream of this process was a terminal at startup. Under nohup, a service
 * manager or a scheduler, none is. Checked at startup, since isatty returns false once the terminal
 * is closed.
 */
export const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
/**
 * Programs started by set-up that do not receive signals from the terminal.
 * @type {Set<import('node:child_process').ChildProcess>}
 */
const children = new Set();

/**
 * On a signal, ends this process and the programs that it started, unless another listener handles
 * the signal.
 */
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
 * Options for starting a program. If SIGHUP is ignored, the program runs in its own process group,
 * so that signals from the terminal do not reach it.
 */
export const spawnOptions = { detached: !hasTerminal };

/**
 * Makes a program that was started with `spawnOptions` end together with this process.
 * @param {import('node:child_process').ChildProcess} child
 */
export function endWithUs(child) {
  if (hasTerminal || child.pid === undefined) return;
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/**
 * Closes the descriptors of closed terminals. Call this just before exit, since Node aborts if it
 * cannot restore a terminal's settings.
 */
export function leaveClosedTerminals() {
  for (const descriptor of [0, 1, 2]) if (isClosedTerminal(descriptor)) closeSync(descriptor);
}

/**
 * Whether the descriptor is a terminal that was closed. Also true for /dev/null, which an exiting
 * process does not need.
 * @param {number} descriptor
 */
function isClosedTerminal(descriptor) {
  try {
    return !isatty(descriptor) && fstatSync(descriptor).isCharacterDevice();
  } catch {
    return false;
  }
}
