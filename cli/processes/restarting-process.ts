import { setTimeout as sleep } from 'node:timers/promises';
import { errorCodeOfExit, errorTable, type ErrorCode } from '../../shared/errors.ts';
import {
  FIRST_RESTART_MILLISECONDS,
  MAX_FAILED_STARTS,
  MAX_RESTART_MILLISECONDS,
  STABLE_MILLISECONDS,
} from '../../shared/limits.ts';
import { Child, isCrashSignal } from './child-process.ts';
import { restartedEnvironment } from './signals.ts';
import type { Log } from '../terminal/log.ts';
import type { ToChild } from './supervisor-messages.ts';

export interface RestartingProcessOptions {
  readonly name: string;
  /**
   * The command line for the first start and for restarts; `pagePort` is the live page's port
   * before the crash.
   */
  readonly args: (isRestart: boolean, pagePort: number | undefined) => readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly output: 'inherit' | 'capture';
  /** Descriptor of a socket that the process inherits. */
  readonly listener?: number;
  readonly maxRestarts: number;
  /**
   * The exit code to report for a process that crashed after it had done its work; undefined if the
   * work is not done and the process has to be restarted.
   */
  readonly codeAtEnd?: () => Promise<number | undefined>;
  /** Called before each restart. */
  readonly restarting?: () => void;
  /** What to do about a process that repeatedly crashed. */
  readonly crashFix?: string | undefined;
  readonly log: Log;
}

/** A cluster process that is restarted when it crashes. */
export class RestartingProcess {
  readonly name: string;
  /** Exit code of the last process, which is not restarted; 128 + the number if by a signal. */
  readonly ended: Promise<number>;
  readonly #options: RestartingProcessOptions;
  readonly #stopping = new AbortController();
  #child: Child;
  #hasEnded = false;
  #hasStarted = false;
  #pagePort: number | undefined;
  #stopCode: ErrorCode | undefined;

  constructor(options: RestartingProcessOptions) {
    this.name = options.name;
    this.#options = options;
    this.#child = this.#spawn(false);
    this.ended = this.#run();
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether the current process or an earlier one reported that training has begun. */
  get started(): boolean {
    return this.#hasStarted || this.#child.started;
  }

  tell(order: ToChild): void {
    this.#child.tell(order);
  }

  /** Asks the process to shut down cleanly; it is not restarted. */
  stop(code: ErrorCode): void {
    this.#stopCode ??= code;
    this.#stopping.abort();
    this.#child.stop(code);
  }

  /** Makes the process continue if it is suspended. */
  resume(): void {
    this.#child.resume();
  }

  kill(): void {
    this.#stopping.abort();
    this.#child.kill();
  }

  /**
   * Waits for the process to end, as its coordinator has told it to; kills it after a time limit.
   */
  async end(): Promise<void> {
    this.#stopping.abort();
    await this.#child.end();
  }

  lastLines(): readonly string[] {
    return this.#child.lastLines();
  }

  async #run(): Promise<number> {
    const { log, maxRestarts, name } = this.#options;
    let pause = FIRST_RESTART_MILLISECONDS;
    let failedStarts = 0;
    let lastCode = 0;
    for (let restarts = 1; ; restarts++) {
      const started = performance.now();
      const code = await this.#child.exited;
      const { hasCrashed, isOwnFault, isReady } = this.#child;
      if (this.#stopping.signal.aborted || !hasCrashed) return this.#finish(code);
      if (restarts > maxRestarts) return this.#giveUp(code);
      const codeAtEnd = await this.#options.codeAtEnd?.();
      if (codeAtEnd !== undefined) {
        log.warn({ process: name, code }, `${name} ${exitText(code)} after the run had finished`);
        return this.#finish(codeAtEnd);
      }
      const isStable = performance.now() - started > STABLE_MILLISECONDS;
      // A limit that is hit again immediately is not a transient shortage.
      const hasBegun = isReady && (isStable || code !== errorTable.LIMIT.exit);
      if (!isOwnFault || hasBegun) failedStarts = 0;
      else failedStarts = code === lastCode ? failedStarts + 1 : 1;
      lastCode = code;
      if (failedStarts === MAX_FAILED_STARTS) {
        log.error(
          { process: name, code },
          `${name} ${exitText(code)} ${failedStarts} times in a row ` +
            `${isReady ? 'soon after' : 'before'} it was ready; not restarting it again`,
        );
        return this.#giveUp(code);
      }
      // A pause helps only against a crash that repeats itself.
      if (isStable || !isOwnFault) pause = FIRST_RESTART_MILLISECONDS;
      this.#options.restarting?.();
      log.warn(
        { process: name, code, restarts },
        `${name} ${exitText(code)}; restarting it ` +
          `(${restarts} of at most ${maxRestarts} times, --max-restarts)`,
      );
      await sleep(pause, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      // The stop came between two starts, when no process was running.
      if (this.#stopping.signal.aborted)
        return this.#finish(this.#stopCode === undefined ? code : errorTable[this.#stopCode].exit);
      pause = Math.min(2 * pause, MAX_RESTART_MILLISECONDS);
      this.#hasStarted ||= this.#child.started;
      this.#pagePort = this.#child.pagePort ?? this.#pagePort;
      this.#child = this.#spawn(true);
    }
  }

  #giveUp(code: number): number {
    const { crashFix, log, name } = this.#options;
    if (isCrashSignal(code) && crashFix !== undefined)
      log.error({ process: name, code }, `${name} ${exitText(code)}: ${crashFix}`);
    return this.#finish(code);
  }

  #finish(code: number): number {
    this.#hasEnded = true;
    return code;
  }

  #spawn(isRestart: boolean): Child {
    const { name, args, environment: own, output, listener } = this.#options;
    const environment = isRestart ? restartedEnvironment(own) : own;
    return new Child(name, args(isRestart, this.#pagePort), environment, output, listener);
  }
}

/** The exit code for a command whose process ended with `code`; `crash` if a crash ended it. */
export function documentedExit(code: number, crash: ErrorCode): number {
  if (code <= 128 || errorCodeOfExit(code) !== undefined) return code;
  return errorTable[isCrashSignal(code) ? crash : 'RUN_FAILED'].exit;
}

/** Describes how a process ended, to follow its name in a sentence. */
export function exitText(code: number): string {
  return code > 128 ? `was ended by signal ${code - 128}` : `ended with exit code ${code}`;
}
