import type { RunRecorder, Serving } from '../coordinator/serve.ts';
import { ClusterError, errorCodeOfExit } from '../shared/errors.ts';
import { DEFAULT_MAX_RESTARTS } from '../shared/limits.ts';
import type { Log } from './log.ts';
import type { Member } from './member.ts';
import type { EvalOptions, VerifyOptions } from './options.ts';
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
  /** Whether something was computed, so that others may go on without a worker that ended. */
  readonly hasBegun: () => boolean;
  /** What a worker's end means without which there is none. */
  readonly failureOf: (worker: Member, code: number) => ClusterError;
}

/**
 * Starts the workers, waits for the computation, and ends them. Rejects with what `failureOf` says, or as `serving.done`; the
 * outcome may be a failure, or that it was stopped.
 */
export async function withOwnWorkers<R extends RunRecorder>(
  computation: OwnComputation<R>,
): Promise<Awaited<Serving<R>['done']>> {
  const { serving, stopping, log, hasBegun, failureOf } = computation;
  const workers = startAll(computation);
  let failure: ClusterError | undefined;
  let isOver = false;
  const alive = new Set(workers);
  stopping.listen((code) => serving.stop(code));
  // Whatever ends this process ends its children.
  process.on('exit', () => workers.forEach((worker) => worker.kill()));
  for (const worker of workers) void watch(worker);
  async function watch(worker: Member): Promise<void> {
    const code = await worker.ended;
    alive.delete(worker);
    if (isOver || stopping.code !== undefined) return;
    if (hasBegun() && alive.size > 0)
      return log.warn({ worker: worker.name, code }, `${worker.name} ended with exit code ${code}`);
    failure ??= failureOf(worker, code);
    serving.stop('RUN_FAILED');
  }
  try {
    const done = await serving.done;
    if (failure !== undefined) throw failure;
    return done;
  } finally {
    isOver = true;
    for (const worker of alive) worker.stop('RUN_FAILED');
    await Promise.all([...alive].map((worker) => worker.end()));
  }
}

function startAll<R extends RunRecorder>({ serving, plans, token, options, log }: OwnComputation<R>) {
  // The workers' token is this one, whatever the environment, or a file that it names, has for other runs.
  const elsewhere = { MNIST_DIST_TOKEN_FILE: '', MNIST_DIST_CONFIG: '' };
  const environment = { ...process.env, ...elsewhere, MNIST_DIST_TOKEN: token };
  const member = { environment, maxRestarts: DEFAULT_MAX_RESTARTS, log };
  const url = `ws://127.0.0.1:${serving.port}`;
  return plans.map((plan) => startWorker(plan, options, url, member));
}

/** A worker's exit code and its last words. */
export function workerFailure(worker: Member, code: number): ClusterError {
  const words = worker.lastLines().join('\n  ');
  return new ClusterError(
    errorCodeOfExit(code) ?? 'RUN_FAILED',
    `${worker.name} ended with exit code ${code}; its last words: ${words}`,
  );
}
