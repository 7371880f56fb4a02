import { execFile, type ExecFileException } from 'node:child_process';
import { messageOf } from '../../shared/errors.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import * as limits from '../../shared/limits.ts';
import { lastLines, onPath } from './child.ts';
import { gpuQuestion, parseReadings } from './gpu-answer.ts';

export interface GpuTelemetryOptions {
  /** The only GPU to ask for, as nvidia-smi names it; undefined for all. */
  readonly gpu: string | undefined;
  /** Told of every answer; of none that is to be had, once, as no GPUs. */
  readonly report: (gpus: readonly GpuReading[]) => void;
  readonly log: (level: 'debug', message: string) => void;
  readonly times?: Times;
}

interface Times {
  readonly intervalMilliseconds: number;
  readonly answerMilliseconds: number;
  readonly retryMilliseconds: number;
}

const ordinaryTimes: Times = {
  intervalMilliseconds: limits.GPU_INTERVAL_MILLISECONDS,
  answerMilliseconds: limits.GPU_ANSWER_LIMIT_MILLISECONDS,
  retryMilliseconds: limits.GPU_RETRY_MILLISECONDS,
};

/**
 * Asks nvidia-smi again and again how the GPUs are doing, one process at a time. The worker's thread only starts it and reads
 * its answer; whatever becomes of it, the worker goes on. Without an nvidia-smi on PATH nothing is ever started.
 */
export class GpuTelemetry {
  readonly #options: GpuTelemetryOptions;
  readonly #times: Times;
  readonly #program = onPath('nvidia-smi');
  readonly #stopping = new AbortController();
  #next: NodeJS.Timeout | undefined;
  /** Whether the last report named a GPU. */
  #hasReported = false;
  #hasFailed = false;

  constructor(options: GpuTelemetryOptions) {
    this.#options = options;
    this.#times = options.times ?? ordinaryTimes;
  }

  start(): void {
    if (this.#program === undefined) return;
    try {
      this.#ask(this.#program);
    } catch (error) {
      // No memory for another process, say.
      this.#take([], messageOf(error));
    }
  }

  /** Nothing is reported any more, and no process is left. */
  stop(): void {
    clearTimeout(this.#next);
    this.#stopping.abort();
  }

  #ask(program: string): void {
    const { gpu } = this.#options;
    const only = gpu === undefined ? [] : [`--id=${gpu}`];
    // The signal also closes the pipes, which a child of the child might hold open.
    const options = {
      ...({ encoding: 'utf8', killSignal: 'SIGKILL', signal: this.#stopping.signal } as const),
      ...{ timeout: this.#times.answerMilliseconds, maxBuffer: limits.MAX_GPU_ANSWER_BYTES },
    };
    execFile(program, [...only, ...gpuQuestion], options, (error, answer) => {
      if (this.#stopping.signal.aborted) return;
      if (error === null) this.#take(parseReadings(answer), 'it lists none');
      else this.#take([], this.#complaint(error, answer));
    });
  }

  /** nvidia-smi says on its standard output what is wrong. */
  #complaint({ killed, message }: ExecFileException, answer: string): string {
    if (killed === true) return `no answer within ${this.#times.answerMilliseconds} ms`;
    const said = [message, answer].map((text) => lastLines(text, 1)).filter((text) => text !== '');
    return said.join(': ').slice(0, limits.MAX_GPU_COMPLAINT_CHARACTERS);
  }

  #take(gpus: readonly GpuReading[], complaint: string): void {
    const { report, log } = this.#options;
    const hasAnswered = gpus.length > 0;
    if (hasAnswered || this.#hasReported) report(gpus);
    this.#hasReported = hasAnswered;
    if (!hasAnswered && !this.#hasFailed)
      log('debug', `nvidia-smi does not say how the GPUs are doing: ${complaint}`);
    this.#hasFailed ||= !hasAnswered;
    const { intervalMilliseconds, retryMilliseconds } = this.#times;
    const pause = hasAnswered ? intervalMilliseconds : retryMilliseconds;
    this.#next = setTimeout(() => this.start(), pause).unref();
  }
}

/**
 * The GPU a worker computes on, by the name that CUDA and nvidia-smi have for it (a number, or a UUID); undefined for one that
 * computes elsewhere. To TensorFlow environment.ts shows one device, or -1.
 */
export function gpuOf(engine: EngineKind, environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const shown = environment['CUDA_VISIBLE_DEVICES'];
  return engine !== 'tensorflow' || shown === '' || shown === '-1' ? undefined : shown;
}
