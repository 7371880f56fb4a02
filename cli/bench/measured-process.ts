import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { executable } from '../package.ts';
import { ClusterError } from '../../shared/errors.ts';
import { CLOSE_LIMIT_MILLISECONDS, MEASUREMENT_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { supervisedEnvironment } from '../processes/signals.ts';
import {
  replySchema,
  TASK_VARIABLE,
  type MeasureReply,
  type MeasureRequest,
  type Task,
} from './task.ts';

const REMEMBERED_LINES = 10;

/** Running processes. They share one listener, since Node warns about more than ten listeners. */
const living = new Set<MeasuredProcess>();
process.once('exit', () => living.forEach((each) => each.kill()));

/** A process that runs a task (task.ts) for the bench. It ends no later than the bench. */
export class MeasuredProcess {
  readonly #name: string;
  readonly #process: ChildProcess;
  /** Rejects if the process ends before `end` is called. */
  readonly #failed: Promise<never>;
  readonly #gone: Promise<void>;
  readonly #lines: string[] = [];

  constructor(name: string, task: Task, environment: NodeJS.ProcessEnv) {
    this.#name = name;
    this.#process = spawn(process.execPath, [executable, 'bench'], {
      env: supervisedEnvironment({ ...environment, [TASK_VARIABLE]: JSON.stringify(task) }),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    living.add(this);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on('line', (line) => this.#remember(line));
    }
    // After `disconnect`, Node emits 'exit' but not 'close'. After a failure, 'close' comes once
    // the last lines have been read.
    this.#gone = eventOf(this.#process, 'exit').then(() => void living.delete(this));
    this.#failed = eventOf(this.#process, 'close').then(() => {
      throw new ClusterError('RUN_FAILED', `${this.#name} ended before it was measured`, {
        fix: `its last lines: ${this.#lines.join(' | ')}`,
      });
    });
    // When the process ends as expected, this must not become an unhandled rejection.
    this.#failed.catch(() => undefined);
  }

  /** Rejects as soon as the process has ended, for any reason. */
  get failed(): Promise<never> {
    return this.#failed;
  }

  /** Requests one measurement. Rejects with the process's error or the signal's reason. */
  async measure(
    request: MeasureRequest,
    signal: AbortSignal,
  ): Promise<Extract<MeasureReply, { kind: 'measured' }>> {
    signal.throwIfAborted();
    let onAbort = (): void => undefined;
    let limit: NodeJS.Timeout | undefined;
    const answered = new Promise<MeasureReply>((resolve, reject) => {
      this.#process.once('message', (message) => resolve(replySchema.parse(message)));
      onAbort = () => reject(reasonOf(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#failed.catch(reject);
      limit = setTimeout(
        () => reject(new ClusterError('TIMEOUT', `${this.#name} does not answer`)),
        MEASUREMENT_LIMIT_MILLISECONDS,
      );
    });
    this.#process.send(request);
    const answer = await answered.finally(() => {
      clearTimeout(limit);
      signal.removeEventListener('abort', onAbort);
    });
    if (answer.kind === 'measured') return answer;
    const { code, message, fix } = answer;
    throw new ClusterError(code, message, fix === undefined ? {} : { fix });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** Disconnects the process so that it ends, and kills it after a time limit. */
  async end(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.kill(), CLOSE_LIMIT_MILLISECONDS);
    await this.#gone;
    clearTimeout(timer);
  }

  #remember(line: string): void {
    this.#lines.push(line.slice(0, 500));
    if (this.#lines.length > REMEMBERED_LINES) this.#lines.shift();
  }
}

/** Resolves on the event, or on 'error' if the process could not be started. */
function eventOf(child: ChildProcess, event: 'exit' | 'close'): Promise<void> {
  return new Promise((resolve) => {
    child.once(event, () => resolve());
    child.once('error', () => resolve());
  });
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('stopped');
}
