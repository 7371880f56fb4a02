import { constants } from 'node:os';
import { hasTerminal, leaveClosedTerminals } from '../../bin/hang-up.mjs';

/** Signals that ask a process to end, each with the error that the process ends with. */
const endings = { SIGHUP: 'HUNG_UP', SIGINT: 'INTERRUPTED', SIGTERM: 'TERMINATED' } as const;
export type Ending = (typeof endings)[keyof typeof endings];

const listeners = new Set<(ending: Ending) => void>();
let isWatching = false;

/** Whether a supervisor started this process. */
export function isSupervised(): boolean {
  return process.send !== undefined;
}

/**
 * Makes each signal call the onSignal listeners, or end this process if there are none. A
 * supervised process ignores SIGINT and SIGHUP, which a terminal sends to all processes: its
 * supervisor handles both. Under nohup, SIGHUP is ignored here because Node undoes nohup's own
 * setting.
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

/** Calls `say` when SIGHUP is ignored. */
export function onIgnored(say: () => void): void {
  if (!hasTerminal && !isSupervised()) process.on('SIGHUP', say);
}

/**
 * Calls `listener` for each signal that asks this process to end; returns a function that removes
 * the listener.
 */
export function onSignal(listener: (ending: Ending) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
