import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { errorCodeOfExit, errorTable, type ErrorCode } from '../../shared/errors.ts';
import { CLOSE_LIMIT_MILLISECONDS, MAX_REMEMBERED_LINES } from '../../shared/limits.ts';
import { executable } from '../package.ts';
import { fromChild, type ToChild } from './supervised.ts';

/**
 * Its descriptor in a child that inherits a listener: the next one after stdin, stdout, stderr and
 * the channel.
 */
const INHERITED_LISTENER = 4;
/** Set for a coordinator that inherits the socket it listens on. */
export const LISTENER_VARIABLE = 'MNIST_DIST_INTERNAL_LISTENER';

/** The socket that this process inherited to listen on. */
export function inheritedListener(): number | undefined {
  return process.env[LISTENER_VARIABLE] === undefined ? undefined : INHERITED_LISTENER;
}

const orders: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGTERM']);
const faults: ReadonlySet<NodeJS.Signals> = new Set([
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGILL',
  'SIGSEGV',
  'SIGSYS',
  'SIGTRAP',
]);

/** A process of the cluster that `local` started. */
export class Child {
  readonly name: string;
  /** Its exit code, or 128 + the signal that ended it. */
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
   * `capture` keeps its output off the terminal, but for lines of its log; the last lines explain a
   * failure. It inherits `listener`, a socket, as INHERITED_LISTENER.
   */
  constructor(
    name: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
    output: 'inherit' | 'capture',
    listener?: number,
  ) {
    this.name = name;
    const streams = output === 'inherit' ? 'inherit' : 'pipe';
    this.#process = spawn(process.execPath, [executable, ...args], {
      env: environment,
      stdio: ['ignore', streams, streams, 'ipc', ...(listener === undefined ? [] : [listener])],
    });
    this.exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#hasSpawned = this.#process.pid !== undefined;
        if (this.#hasSpawned) return;
        this.#remember(`it could not be started: ${error.message}`);
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
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on('line', (line) => this.#remember(line));
    }
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** Whether it said that it can do what it is there for. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * A fault of its own or a signal that was no order ended it, or it could not be started; every
   * other end has a reason that stays.
   */
  get hasCrashed(): boolean {
    return this.isOwnFault || (this.#signal !== undefined && !orders.has(this.#signal));
  }

  /** A crash that came from within: no other process sends these signals. */
  get isOwnFault(): boolean {
    if (!this.#hasSpawned) return true;
    if (this.#signal !== undefined) return faults.has(this.#signal);
    const { exitCode } = this.#process;
    if (exitCode === null || exitCode === 0) return false;
    // Node has exit codes of its own for what nothing caught.
    const code = errorCodeOfExit(exitCode) ?? 'UNEXPECTED';
    // One that was ready fits the limits: it lacked memory or open files for a moment.
    return code === 'UNEXPECTED' || (code === 'LIMIT' && this.#isReady);
  }

  /** Whether it said that training has begun. */
  get started(): boolean {
    return this.#started;
  }

  /** Where it said that its live page is. */
  get pagePort(): number | undefined {
    return this.#pagePort;
  }

  stop(code: ErrorCode): void {
    this.tell({ kind: 'stop', code });
  }

  tell(order: ToChild): void {
    if (this.#process.connected) this.#process.send(order);
  }

  kill(): void {
    if (!this.#hasExited) this.#process.kill('SIGKILL');
  }

  /**
   * Waits for it to end by itself, as the coordinator told it to, and cuts it short if it does not.
   */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.kill(), 2 * CLOSE_LIMIT_MILLISECONDS);
    await this.exited;
    clearTimeout(timer);
  }

  /** What it printed last, for the message about its failure. */
  lastLines(): readonly string[] {
    return this.#lines;
  }

  #remember(line: string): void {
    this.#lines.push(line.slice(0, 500));
    if (this.#lines.length > MAX_REMEMBERED_LINES) this.#lines.shift();
  }
}
