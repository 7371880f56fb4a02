import { constants } from 'node:os';
import { hasTerminal, leaveClosedTerminals } from '../../bin/hang-up.mjs';
import { commandText } from '../../shared/shell-word.ts';

/** Signals that ask a process to end, each with the error that the process ends with. */
const endings = { SIGHUP: 'HUNG_UP', SIGINT: 'INTERRUPTED', SIGTERM: 'TERMINATED' } as const;
export type Ending = (typeof endings)[keyof typeof endings];

const listeners = new Set<(ending: Ending) => void>();
let isWatching = false;

/** Set for a process that this program supervises: the supervisor's process id. */
const SUPERVISOR_VARIABLE = 'MNIST_DIST_INTERNAL_SUPERVISOR';
/** Set for a process that its supervisor starts again after a crash. */
const RESTART_VARIABLE = 'MNIST_DIST_INTERNAL_RESTART';
/** Set for the coordinator of a command: the command that a user gave. */
const COMMAND_VARIABLE = 'MNIST_DIST_INTERNAL_COMMAND';
const hasSupervisor = takeSupervisor();
const isStartedAgain = taken(RESTART_VARIABLE) !== undefined && hasSupervisor;
const givenCommand = taken(COMMAND_VARIABLE);

/**
 * Whether a supervisor started this process. A channel alone does not mean that: other programs
 * open one as well, but neither forward signals nor send stop messages.
 */
export function isSupervised(): boolean {
  return hasSupervisor;
}

/** Whether the supervisor started this process again, after it had crashed. */
export function isRestarted(): boolean {
  return isStartedAgain;
}

/** The command that a user gave, as one line for a shell; `argv` are this process's arguments. */
export function commandGiven(argv: readonly string[]): string {
  return givenCommand ?? commandText(argv);
}

/** The environment for a process that works for a command with these arguments. */
export function commandEnvironment(argv: readonly string[]): NodeJS.ProcessEnv {
  return { [COMMAND_VARIABLE]: commandGiven(argv) };
}

/** The environment for a process that this process supervises over a channel. */
export function supervisedEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...environment, [SUPERVISOR_VARIABLE]: String(process.pid) };
}

/** The environment for a process that is started again after a crash. */
export function restartedEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { ...environment, [RESTART_VARIABLE]: '1' };
}

/** Reads a variable and removes it, so that no program started from here inherits it. */
function taken(variable: string): string | undefined {
  const value = process.env[variable];
  delete process.env[variable];
  return value;
}

function takeSupervisor(): boolean {
  const supervisor = taken(SUPERVISOR_VARIABLE);
  if (supervisor === undefined || process.send === undefined) return false;
  // A supervisor that died while this process was starting is no longer its parent.
  return supervisor === String(process.ppid) || !isRunning(Number(supervisor));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
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

/**
 * Makes each signal end this process immediately, as the system does by default, even while
 * JavaScript is busy. SIGHUP remains ignored under nohup. A supervised process changes nothing.
 */
export function restoreSignals(): void {
  if (isSupervised()) return;
  const signals = ['SIGINT', 'SIGTERM', ...(hasTerminal ? (['SIGHUP'] as const) : [])] as const;
  for (const signal of signals) process.removeAllListeners(signal);
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
