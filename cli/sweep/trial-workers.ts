import type { RunningCoordinator } from '../../coordinator/start-coordinator.ts';
import type { ClusterError } from '../../shared/errors.ts';
import type { SweepOptions } from '../options/options.ts';
import { workerFailure } from '../processes/own-workers.ts';
import { requireReachable } from '../processes/reachable.ts';
import { WorkerGroup } from '../processes/worker-group.ts';
import { startWorker, type WorkerPlan } from '../processes/worker-plan.ts';
import type { RestartingProcess } from '../processes/restarting-process.ts';
import type { Log } from '../terminal/log.ts';

export interface TrialWorkersOptions {
  readonly plans: readonly WorkerPlan[];
  readonly token: string;
  readonly options: SweepOptions;
  readonly log: Log;
  readonly isStopping: () => boolean;
}

/** The worker processes of a trial. */
export class TrialWorkers {
  /** Why the run has no workers left; undefined while it has. */
  failure: ClusterError | undefined;
  readonly #options: TrialWorkersOptions;
  #workers: readonly RestartingProcess[] = [];
  #group: WorkerGroup<RestartingProcess> | undefined;
  #isOver = false;

  constructor(options: TrialWorkersOptions) {
    this.#options = options;
  }

  /** Starts the workers. Rejects with ADDRESS if they could not reach the run. */
  async start(run: RunningCoordinator): Promise<void> {
    const { plans, token, options, log, isStopping } = this.#options;
    const url = `ws://127.0.0.1:${run.port}`;
    await requireReachable(url);
    // The environment may refer to another run's token or configuration file.
    const cleared = { MNIST_DIST_TOKEN_FILE: '', MNIST_DIST_CONFIG: '' };
    const environment = { ...process.env, ...cleared, MNIST_DIST_TOKEN: token };
    // The others begin without a worker that crashes, which joins them later.
    const restarting = () => run.expect(1);
    const common = { environment, maxRestarts: options.maxRestarts, restarting, log };
    this.#workers = plans.map((plan) => startWorker(plan, options, url, common));
    this.#group = new WorkerGroup({
      workers: this.#workers,
      minWorkers: 1,
      log,
      showsLastLines: true,
      isOver: () => this.#isOver || isStopping(),
      lost: (left) => run.expect(left),
      failed: (worker, code) => {
        this.failure = workerFailure(worker, code);
        run.stop('RUN_FAILED');
      },
    });
  }

  /** Makes suspended workers continue: they would hold up the current step. */
  resume(): void {
    for (const worker of this.#workers) worker.resume();
  }

  /** Waits for the workers to end, and kills those that do not. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.#group?.end(true);
  }
}
