import { execFile, type ExecFileException } from 'node:child_process';
import { messageOf } from '../../shared/errors.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import * as limits from '../../shared/limits.ts';
import { lastLines, onPath } from './run-program.ts';
import { OWN_GPU } from './device-environment.ts';
import { gpuQuestion, parseReadings } from './gpu-answer.ts';
import { findUsableGpus, noGpus } from './usable-gpus.ts';

export interface GpuTelemetryOptions {
  /** Resolves with the GPUs to watch; called once, at the start. Never rejects. */
  readonly watched: () => Promise<WatchedGpus>;
  /** Receives all readings, and an empty list (once) when readings are no longer available. */
  readonly report: (gpus: readonly GpuReading[]) => void;
  readonly log: (level: 'debug', message: string) => void;
  readonly times?: Times;
}

/**
 * The GPUs that a worker reports: one, by its UUID, or those with these indices in nvidia-smi,
 * possibly none.
 */
export type WatchedGpus = { readonly uuid: string } | { readonly indices: ReadonlySet<number> };

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
 * Queries the GPUs periodically by running nvidia-smi, one process at a time. The worker's thread
 * only starts nvidia-smi and reads its output, and the worker continues if nvidia-smi fails. If
 * nvidia-smi is not on PATH, no process is started.
 */
export class GpuTelemetry {
  readonly #options: GpuTelemetryOptions;
  readonly #times: Times;
  readonly #program = onPath('nvidia-smi');
  readonly #stopping = new AbortController();
  #next: NodeJS.Timeout | undefined;
  /** Whether the last report contained a GPU. */
  #hasReported = false;
  #hasFailed = false;

  constructor(options: GpuTelemetryOptions) {
    this.#options = options;
    this.#times = options.times ?? ordinaryTimes;
  }

  start(): void {
    if (this.#program !== undefined) void this.#begin(this.#program);
  }

  async #begin(program: string): Promise<void> {
    const watched = await this.#options.watched();
    if (this.#stopping.signal.aborted || ('indices' in watched && watched.indices.size === 0))
      return;
    this.#askOrTell(program, watched);
  }

  #askOrTell(program: string, watched: WatchedGpus): void {
    try {
      this.#ask(program, watched);
    } catch (error) {
      // For example, there may be too little memory for another process.
      this.#take([], messageOf(error), () => this.#askOrTell(program, watched));
    }
  }

  /** Stops the reports, and kills nvidia-smi if it is running. */
  stop(): void {
    clearTimeout(this.#next);
    this.#stopping.abort();
  }

  #ask(program: string, watched: WatchedGpus): void {
    const only = 'uuid' in watched ? [`--id=${watched.uuid}`] : [];
    const isWatched = ({ index }: GpuReading) => 'uuid' in watched || watched.indices.has(index);
    const again = (): void => this.#askOrTell(program, watched);
    // The signal also closes the pipes, which a child of nvidia-smi might hold open.
    const options = {
      ...({ encoding: 'utf8', killSignal: 'SIGKILL', signal: this.#stopping.signal } as const),
      timeout: this.#times.answerMilliseconds,
      maxBuffer: limits.MAX_GPU_ANSWER_BYTES,
    };
    execFile(program, [...only, ...gpuQuestion], options, (error, answer) => {
      if (this.#stopping.signal.aborted) return;
      if (error === null)
        this.#take(parseReadings(answer).filter(isWatched), 'it lists no GPU', again);
      else this.#take([], this.#complaint(error, answer), again);
    });
  }

  /** nvidia-smi prints its errors to standard output. */
  #complaint({ killed, message }: ExecFileException, answer: string): string {
    if (killed === true) return `no answer within ${this.#times.answerMilliseconds} ms`;
    const said = [message, answer].map((text) => lastLines(text, 1)).filter((text) => text !== '');
    return said.join(': ').slice(0, limits.MAX_GPU_COMPLAINT_CHARACTERS);
  }

  #take(gpus: readonly GpuReading[], complaint: string, again: () => void): void {
    const { report, log } = this.#options;
    const hasAnswered = gpus.length > 0;
    if (hasAnswered || this.#hasReported) report(gpus);
    this.#hasReported = hasAnswered;
    if (!hasAnswered && !this.#hasFailed)
      log('debug', `nvidia-smi returned no GPU readings: ${complaint}`);
    this.#hasFailed ||= !hasAnswered;
    const { intervalMilliseconds, retryMilliseconds } = this.#times;
    const pause = hasAnswered ? intervalMilliseconds : retryMilliseconds;
    this.#next = setTimeout(again, pause).unref();
  }
}

/**
 * The GPUs that a worker reports: its own GPU by its UUID, or none if a TensorFlow worker computes
 * on the CPU. A worker with a different engine reports all GPUs that its process may use. A GPU
 * whose UUID or index is unknown is not reported.
 */
export async function watchedGpus(
  environment: NodeJS.ProcessEnv = process.env,
): Promise<WatchedGpus> {
  const own = environment[OWN_GPU];
  if (own !== undefined && own !== '') return { uuid: own };
  const { gpus } = own === undefined ? await findUsableGpus(environment) : noGpus;
  return { indices: new Set(gpus.flatMap(({ gpu }) => (gpu === undefined ? [] : [gpu.index]))) };
}
