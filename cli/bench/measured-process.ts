import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { executable } from '../package.ts';
import { ClusterError } from '../../shared/errors.ts';
import { CLOSE_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { answerSchema, TASK_VARIABLE, type Answer, type Question, type Task } from './task.ts';

const REMEMBERED_LINES = 10;

/** The processes that are running. One listener for all of them: Node warns of more than ten. */
const living = new Set<MeasuredProcess>();
process.once('exit', () => living.forEach((each) => each.kill()));

/**
 * A process of the bench's own that is measured or takes part; task.ts is what it does. It never
 * outlives the bench.
 */
export class MeasuredProcess {
  readonly #name: string;
  readonly #process: ChildProcess;
  /** Rejects when the process ends before `end`. */
  readonly #failed: Promise<never>;
  readonly #gone: Promise<void>;
  readonly #lines: string[] = [];

  constructor(name: string, task: Task, environment: NodeJS.ProcessEnv) {
    this.#name = name;
    this.#process = spawn(process.execPath, [executable, 'bench'], {
      env: { ...environment, [TASK_VARIABLE]: JSON.stringify(task) },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    living.add(this);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      if (stream !== null)
        createInterface({ input: stream }).on('line', (line) => this.#remember(line));
    }
    // Node emits no 'close' after `disconnect`; when a process fails, its last lines have come with
    // 'close'.
    this.#gone = eventOf(this.#process, 'exit').then(() => void living.delete(this));
    this.#failed = eventOf(this.#process, 'close').then(() => {
      throw new ClusterError('RUN_FAILED', `${this.#name} ended before it was measured`, {
        fix: `its last lines: ${this.#lines.join(' | ')}`,
      });
    });
    // Nobody may be waiting when it ends in good order.
    this.#failed.catch(() => undefined);
  }

  /** Rejects as soon as the process has ended, whatever the reason. */
  get failed(): Promise<never> {
    return this.#failed;
  }

  /**
   * Asks for one measurement. Rejects with what the process says has failed, or the signal's
   * reason.
   */
  async ask(
    question: Question,
    signal: AbortSignal,
  ): Promise<Extract<Answer, { kind: 'measured' }>> {
    signal.throwIfAborted();
    let onAbort = (): void => undefined;
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#process.once('message', (message) => resolve(answerSchema.parse(message)));
      onAbort = () => reject(reasonOf(signal));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#failed.catch(reject);
    });
    this.#process.send(question);
    const answer = await answered.finally(() => signal.removeEventListener('abort', onAbort));
    if (answer.kind === 'measured') return answer;
    const { code, message, fix } = answer;
    throw new ClusterError(code, message, fix === undefined ? {} : { fix });
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  /** Lets it end, and cuts it short if it does not. */
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

/** The event, or the error that keeps a process from starting. */
function eventOf(child: ChildProcess, event: 'exit' | 'close'): Promise<void> {
  return new Promise((resolve) => {
    child.once(event, () => resolve());
    child.once('error', () => resolve());
  });
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('stopped');
}
