import type { RunRecorder, Serving } from '../../coordinator/serve.ts';
import { ClusterError, errorCodeOfExit } from '../../shared/errors.ts';
import { DEFAULT_MAX_RESTARTS } from '../../shared/limits.ts';
import { WorkerGroup } from './worker-group.ts';
import type { Log } from '../terminal/log.ts';
import { exitText, type RestartingProcess } from './restarting-process.ts';
import type { EvalOptions, VerifyOptions } from '../options/options.ts';
import type { Stopping } from './supervised.ts';
import { startWorker, type WorkerPlan } from './worker-plan.ts';

/** A computation that this process serves on loopback, and the workers that it starts for it. */
export interface OwnComputation<R extends RunRecorder> {
  readonly serving: Serving<R>;
  readonly plans: readonly WorkerPlan[];
  readonly token: string;
  readonly options: VerifyOptions | EvalOptions;
  /** From before the first worker was started: a Ctrl-C from then on must end all of them. */
  readonly stopping: Stopping;
  readonly log: Log;
  /** What the end of the first worker means, where none is left. */
  readonly failureOf: (worker: RestartingProcess, code: number) => ClusterError;
}

/**
 * Starts the workers, waits for the computation, and ends them. Rejects with what `failureOf` says,
 * or as `serving.done`; the outcome may be a failure, or that it was stopped.
 */
export async function withOwnWorkers<R extends RunRecorder>(
  computation: OwnComputation<R>,
): Promise<Awaited<Serving<R>['done']>> {
  const { serving, stopping, log, failureOf } = computation;
  let failure: ClusterError | undefined;
  let isOver = false;
  stopping.listen((code) => serving.stop(code));
  const group = new WorkerGroup({
    workers: startAll(computation),
    minWorkers: 1,
    log,
    // They speak of the run that trains, whose options these workers do not have; `failureOf` names
    // the cause.
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

function startAll<R extends RunRecorder>({
  serving,
  plans,
  token,
  options,
  log,
}: OwnComputation<R>) {
  // The workers' token is this one, whatever the environment, or a file that it names, has for
  // other runs.
  const elsewhere = { MNIST_DIST_TOKEN_FILE: '', MNIST_DIST_CONFIG: '' };
  const environment = { ...process.env, ...elsewhere, MNIST_DIST_TOKEN: token };
  const common = { environment, maxRestarts: DEFAULT_MAX_RESTARTS, log };
  const url = `ws://127.0.0.1:${serving.port}`;
  return plans.map((plan) => startWorker(plan, options, url, common));
}

/** A worker's exit code and the last lines of its output. */
export function workerFailure(worker: RestartingProcess, code: number): ClusterError {
  const lines = worker.lastLines();
  const output = lines.length === 0 ? '' : `; its last lines: ${lines.join('\n  ')}`;
  return new ClusterError(
    errorCodeOfExit(code) ?? 'RUN_FAILED',
    `${worker.name} ${exitText(code)}${output}`,
  );
}
