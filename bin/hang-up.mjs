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
/** How long the programs that set-up started may take to end after a signal. */
const ENDING_MILLISECONDS = 5000;
/**
 * Programs started by set-up.
 * @type {Set<import('node:child_process').ChildProcess>}
 */
const children = new Set();
/**
 * The exit code once these programs have ended; undefined before a signal.
 * @type {number | undefined}
 */
let exitCode;

/**
 * On a signal, ends the programs that this process started, waits for their end and then ends this
 * process, unless another listener handles the signal. Until then, the process keeps its locks. On
 * a second signal, and after a few seconds, the programs are killed. Returns a function that stops
 * watching.
 */
export function watchSignals() {
  const listeners = Object.entries(exitCodes).map(([signal, code]) => {
    const listener = () => {
      if (process.listenerCount(signal) > 1 || (signal === 'SIGHUP' && !hasTerminal)) return;
      endChildren(exitCode === undefined ? 'SIGTERM' : 'SIGKILL');
      if (exitCode === undefined) setTimeout(() => endChildren('SIGKILL'), ENDING_MILLISECONDS);
      exitCode ??= code;
      exitIfAlone();
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  return () => {
    for (const stop of listeners) stop();
  };
}

/**
 * Options for starting a program that ends together with this process. The program has its own
 * process group, so that a signal from the terminal reaches it only from here, and so that a signal
 * reaches the programs that it started.
 */
export const spawnOptions = { detached: true };

/**
 * Makes a program that was started with `spawnOptions` end together with this process.
 * @param {import('node:child_process').ChildProcess} child
 */
export function endWithUs(child) {
  if (child.pid === undefined) return;
  children.add(child);
  child.once('exit', () => {
    // Programs that it started may still be running.
    if (exitCode !== undefined) signalGroup(child, 'SIGKILL');
    children.delete(child);
    exitIfAlone();
  });
}

function exitIfAlone() {
  if (exitCode === undefined || children.size > 0) return;
  leaveClosedTerminals();
  process.exit(exitCode);
}

/** @param {NodeJS.Signals} signal */
function endChildren(signal) {
  for (const child of children) signalGroup(child, signal);
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function signalGroup({ pid }, signal) {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // The group has already ended.
  }
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
