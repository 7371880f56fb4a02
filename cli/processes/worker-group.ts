import { errorTable } from '../../shared/errors.ts';
import { counted } from '../../shared/text/number-format.ts';
import type { Log } from '../terminal/log.ts';
import { exitText, type RestartingProcess } from './restarting-process.ts';

type Worker = Pick<RestartingProcess, 'name' | 'ended' | 'lastLines' | 'stop' | 'kill' | 'end'>;

export interface WorkerGroupOptions<W extends Worker> {
  readonly workers: readonly W[];
  /** How many workers must be left for the computation to continue. */
  readonly minWorkers: number;
  readonly log: Log;
  /** Whether to show a worker's last lines when the others continue without it. */
  readonly showsLastLines: boolean;
  /**
   * Whether the computation has ended or is being ended, in which case workers are expected to end.
   */
  readonly isOver: () => boolean;
  /** Called when a worker has ended for good and enough workers (`left`) remain. */
  readonly lost: (left: number) => void;
  /** Called once, when too few workers remain, with the first worker that ended. */
  readonly failed: (worker: W, code: number) => void;
}

/** The worker processes of one computation. They are killed when this process ends. */
export class WorkerGroup<W extends Worker> {
  readonly #options: WorkerGroupOptions<W>;
  readonly #alive: Set<W>;
  #first: { readonly worker: W; readonly code: number } | undefined;
  #hasFailed = false;
  readonly #kill = (): void => this.#options.workers.forEach((worker) => worker.kill());

  constructor(options: WorkerGroupOptions<W>) {
    this.#options = options;
    this.#alive = new Set(options.workers);
    process.on('exit', this.#kill);
    for (const worker of options.workers) void this.#watch(worker);
  }

  /**
   * Waits for all workers to end, as their coordinator has told them to. If `stopped` is set, tells
   * them to end, since they would otherwise look for another coordinator.
   */
  async end(stopped: boolean): Promise<void> {
    if (stopped) for (const worker of this.#alive) worker.stop('RUN_FAILED');
    await Promise.all([...this.#alive].map((worker) => worker.end()));
    process.off('exit', this.#kill);
  }

  async #watch(worker: W): Promise<void> {
    const { isOver, minWorkers, log, showsLastLines, lost, failed } = this.#options;
    const code = await worker.ended;
    this.#alive.delete(worker);
    // A coordinator that fails ends its workers with RUN_FAILED and reports the cause itself.
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
