import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { errorCodeOfExit, errorTable, type ErrorCode } from '../../shared/errors.ts';
import { CLOSE_LIMIT_MILLISECONDS, MAX_REMEMBERED_LINES } from '../../shared/limits.ts';
import { executable } from '../package.ts';
import { supervisedEnvironment } from './signals.ts';
import { fromChild, type ToChild } from './supervisor-messages.ts';

/** Descriptor of an inherited listener: the next after stdin, stdout, stderr and the channel. */
const INHERITED_LISTENER = 4;
/** Set for a coordinator that inherits its listening socket. */
export const LISTENER_VARIABLE = 'MNIST_DIST_INTERNAL_LISTENER';

/** Descriptor of the listening socket that this process inherited, if any. */
export function inheritedListener(): number | undefined {
  return process.env[LISTENER_VARIABLE] === undefined ? undefined : INHERITED_LISTENER;
}

const stopSignals: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGTERM']);
const crashSignals: ReadonlySet<NodeJS.Signals> = new Set([
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGSEGV',
  'SIGSYS',
  'SIGTRAP',
]);

/** Whether an exit code is 128 + the number of a signal with which a process crashes. */
export function isCrashSignal(code: number): boolean {
  return [...crashSignals].some((signal) => code === 128 + constants.signals[signal]);
}

/** Takes what a child process writes and reports. */
export interface ChildListener {
  line(stream: 'stdout' | 'stderr', text: string): void;
  /** The run directory that the process works in. */
  run(directory: string): void;
}

/** A child process of this command: `mnist-dist` with different arguments. */
export class Child {
  readonly name: string;
  /** The exit code, or 128 + the number of the signal that ended the process. */
  readonly exited: Promise<number>;
  #hasExited = false;
  #isReady = false;
  #started = false;
  #signal: NodeJS.Signals | undefined;
  #hasSpawned = true;
  #pagePort: number | undefined;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];

  /**
   * Starts the process. With `capture`, its output is not shown, but `lastLines` can explain a
   * failure; a ChildListener gets every line as well. `listener` is the descriptor of a socket that
   * the process inherits as INHERITED_LISTENER.
   */
  constructor(
    name: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
    output: 'inherit' | 'capture' | ChildListener,
    listener?: number,
  ) {
    this.name = name;
    const streams = output === 'inherit' ? 'inherit' : 'pipe';
    this.#process = spawn(process.execPath, [executable, ...args], {
      env: supervisedEnvironment(environment),
      stdio: ['ignore', streams, streams, 'ipc', ...(listener === undefined ? [] : [listener])],
    });
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#hasSpawned = this.#process.pid !== undefined;
        if (this.#hasSpawned) return;
        this.#remember(`the process could not be started: ${error.message}`);
        resolve(errorTable.LIMIT.exit);
      });
      this.#process.once('close', (code, signal) => {
        this.#hasExited = true;
        this.#signal = signal ?? undefined;
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
    this.#process.on('message', (message) => {
      const { data } = fromChild.safeParse(message);
      if (data?.kind === 'ready') this.#isReady = true;
      else if (data?.kind === 'started') this.#started = true;
      else if (data?.kind === 'page') this.#pagePort = data.port;
      else if (data?.kind === 'run' && typeof output === 'object') output.run(data.directory);
    });
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = this.#process[name];
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.#remember(line);
        if (typeof output === 'object') output.line(name, line);
      });
    }
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** Whether the process reported that it is ready. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Whether a restart may help: the process failed on its own, a signal other than a stop signal
   * ended it, or it could not be started. After any other outcome, a restart would end the same
   * way.
   */
  get hasCrashed(): boolean {
    return this.isOwnFault || (this.#signal !== undefined && !stopSignals.has(this.#signal));
  }

  /** Whether the process crashed on its own, rather than because of another process's signal. */
  get isOwnFault(): boolean {
    if (!this.#hasSpawned) return true;
    if (this.#signal !== undefined) return crashSignals.has(this.#signal);
    const { exitCode } = this.#process;
    if (exitCode === null || exitCode === 0) return false;
    // For uncaught errors, Node itself uses other exit codes.
    const code = errorCodeOfExit(exitCode) ?? 'UNEXPECTED';
    // A process that became ready fits within the limits, so the shortage of memory or open files
    // was temporary.
    return code === 'UNEXPECTED' || (code === 'LIMIT' && this.#isReady);
  }

  /** Whether the process reported that training has begun. */
  get started(): boolean {
    return this.#started;
  }

  /** The live page's port, as reported by the process. */
  get pagePort(): number | undefined {
    return this.#pagePort;
  }

  /** Asks the process to end. Resumes it if it is suspended, since it could not end otherwise. */
  stop(code: ErrorCode): void {
    this.tell({ kind: 'stop', code });
    this.resume();
  }

  /** Makes the process continue if it is suspended. */
  resume(): void {
    if (!this.#hasExited) this.#process.kill('SIGCONT');
  }

  tell(order: ToChild): void {
    if (this.#process.connected) this.#process.send(order);
  }

  kill(): void {
    if (!this.#hasExited) this.#process.kill('SIGKILL');
  }

  /**
   * Waits for the process to end, as its coordinator has told it to; kills it after a time limit.
   */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.kill(), 2 * CLOSE_LIMIT_MILLISECONDS);
    await this.exited;
    clearTimeout(timer);
  }

  /** The last lines of the process's output, for an error message. */
  lastLines(): readonly string[] {
    return this.#lines;
  }

  #remember(line: string): void {
    this.#lines.push(line.slice(0, 500));
    if (this.#lines.length > MAX_REMEMBERED_LINES) this.#lines.shift();
  }
}
