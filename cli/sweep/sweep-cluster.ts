import { Reception } from '../../coordinator/reception.ts';
import type { RunningCoordinator } from '../../coordinator/start-coordinator.ts';
import { errorTable, type ClusterError } from '../../shared/errors.ts';
import type { SweepOptions } from '../options/options.ts';
import { version } from '../package.ts';
import { workerFailure } from '../processes/own-workers.ts';
import { requireReachable } from '../processes/reachable.ts';
import type { RestartingProcess } from '../processes/restarting-process.ts';
import type { StopRequest } from '../processes/supervised.ts';
import { WorkerGroup } from '../processes/worker-group.ts';
import { startWorker, type WorkerPlan } from '../processes/worker-plan.ts';
import { generateToken } from '../secrets/generated-token.ts';
import type { Log } from '../terminal/log.ts';

export interface SweepClusterOptions {
  readonly plans: readonly WorkerPlan[];
  /** The size of the largest frame in all trials. */
  readonly frameBytes: number;
  readonly options: SweepOptions;
  readonly stopping: StopRequest;
  readonly log: Log;
}

type Run = Pick<RunningCoordinator, 'expect' | 'stop'>;

/** The workers of a sweep, and where they join one trial after the other. */
export class SweepCluster {
  readonly reception: Reception;
  readonly token: string;
  /** Why there are no workers left; undefined while there are some. */
  failure: ClusterError | undefined;
  readonly #workers: readonly RestartingProcess[];
  readonly #group: WorkerGroup<RestartingProcess>;
  #run: Run | undefined;
  #left: number;
  #isOver = false;

  private constructor(
    reception: Reception,
    token: string,
    { plans, options, stopping, log }: SweepClusterOptions,
  ) {
    this.reception = reception;
    this.token = token;
    this.#left = plans.length;
    // The environment may refer to another run's token or configuration file.
    const cleared = { MNIST_DIST_TOKEN_FILE: '', MNIST_DIST_CONFIG: '' };
    const environment = { ...process.env, ...cleared, MNIST_DIST_TOKEN: token };
    // The others begin without a worker that crashes, which joins them later.
    const restarting = () => this.#run?.expect(1);
    const common = { environment, maxRestarts: options.maxRestarts, restarting, log };
    const url = urlOf(reception);
    this.#workers = plans.map((plan) => startWorker(plan, options, url, common));
    this.#group = new WorkerGroup({
      workers: this.#workers,
      minWorkers: 1,
      log,
      showsLastLines: true,
      isOver: () => this.#isOver || stopping.code !== undefined,
      lost: (left) => {
        this.#left = left;
        this.#run?.expect(left);
      },
      failed: (worker, code) => {
        this.failure = workerFailure(worker, code);
        this.#run?.stop('RUN_FAILED');
      },
    });
  }

  /** Opens the listener and starts the workers. Rejects with ADDRESS. */
  static async open(options: SweepClusterOptions): Promise<SweepCluster> {
    const token = generateToken();
    const { frameBytes, log } = options;
    const reception = await Reception.open({
      host: '127.0.0.1',
      port: 0,
      token,
      version,
      frameBytes,
      warn: (line) => log.warn({}, line),
    });
    try {
      await requireReachable(urlOf(reception));
      return new SweepCluster(reception, token, options);
    } catch (error) {
      await reception.close();
      throw error;
    }
  }

  /** Gives the workers to a trial that has begun. */
  begin(run: Run): void {
    this.#run = run;
    run.expect(this.#left);
    if (this.failure !== undefined) run.stop('RUN_FAILED');
  }

  /** The trial is over. */
  end(): void {
    this.#run = undefined;
  }

  /** Makes suspended workers continue: they would hold up the current step. */
  resume(): void {
    for (const worker of this.#workers) worker.resume();
  }

  /** Tells the workers that there is no further trial, and waits for them to end. */
  async close(hasFailed: boolean): Promise<void> {
    this.#isOver = true;
    if (hasFailed) await this.reception.close('RUN_FAILED', errorTable.RUN_FAILED.meaning);
    else await this.reception.close();
    await this.#group.end(hasFailed);
  }
}

function urlOf({ port }: Reception): string {
  return `ws://127.0.0.1:${port}`;
}
