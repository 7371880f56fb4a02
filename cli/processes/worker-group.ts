import { errorTable } from '../../shared/errors.ts';
import { counted } from '../../shared/text/number-format.ts';
import type { Log } from '../terminal/log.ts';
import { exitText, type RestartingProcess } from './restarting-process.ts';

type Worker = Pick<RestartingProcess, 'name' | 'ended' | 'lastLines' | 'stop' | 'kill' | 'end'>;

export interface WorkerGroupOptions<W extends Worker> {
  readonly workers: readonly W[];
  /** How many must be left for the others to continue. */
  readonly minWorkers: number;
  readonly log: Log;
  /** Whether the last lines of a worker are shown when the others continue without it. */
  readonly showsLastLines: boolean;
  /** Whether the computation is over, or being ended: then the end of a worker says nothing. */
  readonly isOver: () => boolean;
  /** A worker has ended for good; so many are left, which are enough. */
  readonly lost: (left: number) => void;
  /** Too few are left. Called once, with the worker that was the first to end. */
  readonly failed: (worker: W, code: number) => void;
}

/**
 * The workers that this process started for one computation. Whatever ends this process ends them.
 */
export class WorkerGroup<W extends Worker> {
  readonly #options: WorkerGroupOptions<W>;
  readonly #alive: Set<W>;
  #first: { readonly worker: W; readonly code: number } | undefined;
  #hasFailed = false;

  constructor(options: WorkerGroupOptions<W>) {
    this.#options = options;
    this.#alive = new Set(options.workers);
    process.on('exit', () => options.workers.forEach((worker) => worker.kill()));
    for (const worker of options.workers) void this.#watch(worker);
  }

  /**
   * Waits for all to end, as their coordinator told them to; `stopped` tells those that would look
   * for another one.
   */
  async end(stopped: boolean): Promise<void> {
    if (stopped) for (const worker of this.#alive) worker.stop('RUN_FAILED');
    await Promise.all([...this.#alive].map((worker) => worker.end()));
  }

  async #watch(worker: W): Promise<void> {
    const { isOver, minWorkers, log, showsLastLines, lost, failed } = this.#options;
    const code = await worker.ended;
    this.#alive.delete(worker);
    // A coordinator that failed tells its workers RUN_FAILED, and says why itself.
    if (isOver() || this.#hasFailed || code === 0 || code === errorTable.RUN_FAILED.exit) return;
    this.#first ??= { worker, code };
    const left = this.#alive.size;
    if (left >= Math.max(1, minWorkers)) {
      log.warn(
        { worker: worker.name, code },
        `${worker.name} ${exitText(code)}; continuing with ${counted(left, 'worker')}`,
      );
      for (const line of showsLastLines ? worker.lastLines() : [])
        log.warn({ worker: worker.name }, `  ${line}`);
      return lost(left);
    }
    this.#hasFailed = true;
    failed(this.#first.worker, this.#first.code);
  }
}
