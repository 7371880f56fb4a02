import type { Evidence } from '../coordinator/evidence.ts';
import type { Serving } from '../coordinator/serve.ts';
import type { Verified, Verifier } from '../coordinator/verifier.ts';
import { ClusterError, errorCodes, errorTable } from '../shared/errors.ts';
import type { Log } from './log.ts';
import type { Member } from './member.ts';
import type { Stopping } from './supervised.ts';

export interface RunningReplay {
  readonly serving: Serving<Verifier>;
  readonly workers: readonly Member[];
  readonly stopping: Stopping;
  readonly evidence: Evidence;
  readonly log: Log;
}

/**
 * Waits for the replay and ends its workers. Rejects with the first difference; with INTERRUPTED or TERMINATED; with
 * NOT_REPLAYABLE where only other engines came; or as the worker failed without which there is none.
 */
export async function superviseReplay({
  serving,
  workers,
  stopping,
  evidence,
  log,
}: RunningReplay): Promise<Verified> {
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
    if (serving.recorder.hasBegun && alive.size > 0)
      return log.warn({ worker: worker.name, code }, `${worker.name} ended with exit code ${code}`);
    failure ??= failureOf(worker, code, serving.recorder, evidence);
    serving.stop('RUN_FAILED');
  }
  try {
    const { outcome, result } = await serving.done;
    if (failure !== undefined) throw failure;
    if (outcome.code !== undefined) {
      const reached = `up to step ${result.step} nothing differed`;
      throw new ClusterError(outcome.code, `${outcome.message} Not all was verified; ${reached}`);
    }
    return result;
  } finally {
    isOver = true;
    for (const worker of alive) worker.stop('RUN_FAILED');
    await Promise.all([...alive].map((worker) => worker.end()));
  }
}

function failureOf(worker: Member, code: number, verifier: Verifier, evidence: Evidence): ClusterError {
  if (code === errorTable.FINGERPRINT.exit) return otherEngine(verifier, evidence);
  const words = worker.lastLines().join('\n  ');
  return new ClusterError(
    errorCodes.find((each) => errorTable[each].exit === code && each !== 'DIFFERS') ?? 'RUN_FAILED',
    `${worker.name} ended with exit code ${code}; its last words: ${words}`,
  );
}

/** Both engines by name, and what makes them one. */
function otherEngine(verifier: Verifier, { directory, record }: Evidence): ClusterError {
  const ran = record.engine?.description;
  const theirs =
    ran === undefined
      ? 'another engine'
      : `${ran.kind} (${ran.library}, ${ran.device}, ${ran.threads} thread${ran.threads === 1 ? '' : 's'}) on ${ran.processor}`;
  return new ClusterError(
    'NOT_REPLAYABLE',
    `${directory} was computed by ${theirs}; here ${verifier.stranger ?? 'the workers compute other bytes'}`,
    {
      fix: "without --engine, --device and --threads the run's own are taken; bytes also depend on the library and on the kind of processor",
    },
  );
}
