import type { RunContents } from '../../coordinator/run-directory/run-contents.ts';
import { counted } from '../../shared/text/number-format.ts';
import type { Verified, Verifier } from '../../coordinator/replay/verifier.ts';
import { ClusterError, errorTable } from '../../shared/errors.ts';
import { withOwnWorkers, workerFailure, type OwnComputation } from './own-workers.ts';

export interface RunningReplay extends Omit<OwnComputation<Verifier>, 'failureOf'> {
  readonly contents: RunContents;
}

/**
 * Computes the replay with workers of our own. Rejects with the first difference; with INTERRUPTED
 * or TERMINATED; with NOT_REPLAYABLE where only other engines came; or as the worker failed without
 * which there is none.
 */
export async function superviseReplay({ contents, ...replay }: RunningReplay): Promise<Verified> {
  const { recorder } = replay.serving;
  const { outcome, result } = await withOwnWorkers({
    ...replay,
    failureOf: (worker, code) =>
      code === errorTable.FINGERPRINT.exit
        ? otherEngine(recorder, contents)
        : workerFailure(worker, code),
  });
  if (outcome.code === undefined) return result;
  const reached =
    result.steps === 0 ? 'no step was compared' : `up to step ${result.step} nothing differed`;
  throw new ClusterError(outcome.code, `${outcome.message} Not all was verified; ${reached}`);
}

/** Both engines by name, and what makes them one. */
function otherEngine(verifier: Verifier, { directory, record }: RunContents): ClusterError {
  const ran = record.engine?.description;
  const theirs =
    ran === undefined
      ? 'another engine'
      : `${ran.kind} (${ran.library}, ${ran.device}, ${counted(ran.threads, 'thread')}) on ${ran.processor}`;
  return new ClusterError(
    'NOT_REPLAYABLE',
    `${directory} was computed by ${theirs}; here ${verifier.stranger ?? 'the workers compute other bytes'}`,
    {
      fix:
        ran === undefined
          ? 'run.json does not name the engine: name it with --engine, --device and --threads'
          : "without --engine, --device and --threads the run's own are taken; bytes also depend on the library and on the kind of processor",
    },
  );
}
