import type { RunRecorder, Serving } from '../../coordinator/serve.ts';
import { ClusterError, errorCodeOfExit } from '../../shared/errors.ts';
import { DEFAULT_MAX_RESTARTS } from '../../shared/limits.ts';
import { WorkerGroup } from './worker-group.ts';
import type { Log } from '../terminal/log.ts';
import { requireReachable } from './reachable.ts';
import { documentedExit, exitText, type RestartingProcess } from './restarting-process.ts';
import type { EvalOptions, VerifyOptions } from '../options/options.ts';
import type { StopRequest } from './supervised.ts';
import { startWorker, type WorkerPlan } from './worker-plan.ts';

/** A computation that this process serves on loopback, with workers that it starts. */
export interface OwnComputation<R extends RunRecorder> {
  readonly serving: Serving<R>;
  readonly plans: readonly WorkerPlan[];
  readonly token: string;
  readonly options: VerifyOptions | EvalOptions;
  /** Created before the first worker is started, so that Ctrl-C ends all of them. */
  readonly stopping: StopRequest;
  readonly log: Log;
  /** The error for the first worker that ended, used once no worker is left. */
  readonly failureOf: (worker: RestartingProcess, code: number) => ClusterError;
}

/**
 * Starts the workers, waits for the computation and ends the workers. Rejects with the error from
 * `failureOf` or from `serving.done`; if it resolves, the outcome may still be a failure or a stop.
 */
export async function withOwnWorkers<R extends RunRecorder>(
  computation: OwnComputation<R>,
): Promise<Awaited<Serving<R>['done']>> {
  const { serving, stopping, log, failureOf } = computation;
  let failure: ClusterError | undefined;
  let isOver = false;
  const url = `ws://127.0.0.1:${serving.port}`;
  await requireReachable(url).catch((error: unknown) => {
    serving.stop('RUN_FAILED');
    throw error;
  });
  const workers = startAll(computation, url);
  stopping.listen((code) => {
    serving.stop(code);
    // A suspended worker would hold up the current step.
    for (const worker of workers) worker.resume();
  });
  const group = new WorkerGroup({
    workers,
    minWorkers: 1,
    log,
    // These lines mention training options, which this command does not have; `failureOf` gives the
    // cause.
    showsLastLines: false,
    isOver: () => isOver || stopping.code !== undefined,
    lost: (left) => serving.expect(left),
    failed: (worker, code) => {
      failure = failureOf(worker, code);
      serving.stop('RUN_FAILED');
    },
  });
  try {
    const done = await serving.done;
    if (failure !== undefined) throw failure;
    return done;
  } finally {
    isOver = true;
    await group.end(true);
  }
}

function startAll<R extends RunRecorder>(
  { serving, plans, token, options, log }: OwnComputation<R>,
  url: string,
) {
  // The environment may refer to another run's token or configuration file.
  const cleared = { MNIST_DIST_TOKEN_FILE: '', MNIST_DIST_CONFIG: '' };
  const environment = { ...process.env, ...cleared, MNIST_DIST_TOKEN: token };
  // The others begin without a worker that crashes, which joins them later.
  const restarting = () => serving.expect(1);
  const common = { environment, maxRestarts: DEFAULT_MAX_RESTARTS, restarting, log };
  return plans.map((plan) => startWorker(plan, options, url, common));
}

/** The error for a worker that ended, with its exit code and the last lines of its output. */
export function workerFailure(worker: RestartingProcess, code: number): ClusterError {
  const lines = worker.lastLines();
  const output = lines.length === 0 ? '' : `; its last lines: ${lines.join('\n  ')}`;
  return new ClusterError(
    errorCodeOfExit(documentedExit(code, 'ENGINE')) ?? 'RUN_FAILED',
    `${worker.name} ${exitText(code)}${output}`,
  );
}
