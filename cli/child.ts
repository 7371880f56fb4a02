import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import type { ErrorCode } from '../shared/errors.ts';
import { CLOSE_LIMIT_MILLISECONDS, MAX_REMEMBERED_LINES } from '../shared/limits.ts';
import { executable } from './package.ts';
import { fromChild, type ToChild } from './supervised.ts';

/** A process of the cluster that `local` started. */
export class Child {
  readonly name: string;
  /** Its exit code, or 128 + the signal that ended it. */
  readonly exited: Promise<number>;
  #hasExited = false;
  #started = false;
  #pagePort: number | undefined;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];

  /** `capture` keeps its output off the terminal, but for lines of its log; the last lines explain a failure. */
  constructor(
    name: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv,
    output: 'inherit' | 'capture',
  ) {
    this.name = name;
    const streams = output === 'inherit' ? 'inherit' : 'pipe';
    this.#process = spawn(process.execPath, [executable, ...args], {
      env: environment,
      stdio: ['ignore', streams, streams, 'ipc'],
    });
    this.exited = new Promise((resolve) => {
      this.#process.once('error', () => resolve(1));
      this.#process.once('close', (code, signal) => {
        this.#hasExited = true;
        resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
      });
    });
    this.#process.on('message', (message) => {
      const { data } = fromChild.safeParse(message);
      if (data?.kind === 'started') this.#started = true;
      else if (data?.kind === 'page') this.#pagePort = data.port;
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#remember(line));
    }
  }

  get hasExited(): boolean {
    return this.#hasExited;
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
    const order: ToChild = { kind: 'stop', code };
    if (this.#process.connected) this.#process.send(order);
  }

  kill(): void {
    if (!this.#hasExited) this.#process.kill('SIGKILL');
  }

  /** Waits for it to end by itself, as the coordinator told it to, and cuts it short if it does not. */
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
