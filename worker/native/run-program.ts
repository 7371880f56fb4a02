import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { hasTerminal } from '../../bin/hang-up.mjs';
import { MAX_PROGRAM_OUTPUT_CHARACTERS } from '../../shared/limits.ts';

export interface ChildResult {
  /** The exit status; undefined if a signal killed the process. */
  readonly status: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly environment?: NodeJS.ProcessEnv;
  readonly limitMilliseconds?: number;
}

/**
 * Runs a program to completion and returns the end of its output. Rejects only if the program
 * cannot be started.
 */
export function runChild(
  command: readonly string[],
  options: ChildOptions = {},
): Promise<ChildResult> {
  const [program, ...rest] = command;
  if (program === undefined) throw new Error('the command is empty');
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      env: options.environment ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      // If this process ignores SIGHUP, the programs that it runs must not be in the terminal's
      // process group.
      detached: !hasTerminal,
      ...(options.limitMilliseconds === undefined
        ? {}
        : { timeout: options.limitMilliseconds, killSignal: 'SIGKILL' }),
    });
    const kill = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGTERM'));
    if (!hasTerminal) process.once('exit', kill);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-MAX_PROGRAM_OUTPUT_CHARACTERS);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-MAX_PROGRAM_OUTPUT_CHARACTERS);
    });
    child.once('error', reject);
    child.once('exit', () => process.off('exit', kill));
    child.once('close', (status, signal) => {
      resolve({ status: status ?? undefined, signal: signal ?? undefined, stdout, stderr });
    });
  });
}

/** The first executable file with this name on PATH. */
export function onPath(
  program: string,
  environment: NodeJS.ProcessEnv = process.env,
): string | undefined {
  if (program.includes('/')) return isExecutable(program) ? program : undefined;
  return (environment['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, program))
    .find(isExecutable);
}

/** The last lines of a program's output, for an error message. */
export function lastLines(text: string, count = 3): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-count)
    .join(' | ');
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
