import { constants } from 'node:os';
import { hasTerminal, leaveClosedTerminals } from '../../bin/hang-up.mjs';

/** The signals that ask a process to end, and the error with which it then does. */
const endings = { SIGHUP: 'HUNG_UP', SIGINT: 'INTERRUPTED', SIGTERM: 'TERMINATED' } as const;
export type Ending = (typeof endings)[keyof typeof endings];

const listeners = new Set<(ending: Ending) => void>();
let isWatching = false;

/** Whether a supervisor started this process. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/**
 * From now on a signal calls the functions given to onSignal, or ends this process where there are
 * none. A terminal sends Ctrl-C and its own end to all processes: a supervised one leaves both to
 * its supervisor. Under nohup SIGHUP is ignored here, since Node resets what nohup set.
 */
export function watchSignals(): void {
  if (isWatching) return;
  isWatching = true;
  process.on('exit', leaveClosedTerminals);
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (signal !== 'SIGTERM' && isSupervised()) return;
      if (signal === 'SIGHUP' && !hasTerminal) return;
      const ending = endings[signal];
      if (listeners.size === 0) process.exit(128 + constants.signals[signal]);
      for (const listener of listeners) listener(ending);
    });
  }
}

/** Calls `say` when SIGHUP was ignored. */
export function onIgnored(say: () => void): void {
  if (!hasTerminal && !isSupervised()) process.on('SIGHUP', say);
}

/** Calls this for each signal that asks this process to end. Returns how to take it back. */
export function onSignal(listener: (ending: Ending) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
