import type { RunContents } from '../../coordinator/run-directory/run-contents.ts';
import { counted } from '../../shared/text/number-format.ts';
import type { Verified, Verifier } from '../../coordinator/replay/verifier.ts';
import { HIDDEN_DIFFERENCES, type EngineIdentity } from '../../shared/engine-identity.ts';
import { ClusterError, errorTable } from '../../shared/errors.ts';
import { processorName } from '../../worker/engines/engine.ts';
import { withOwnWorkers, workerFailure, type OwnComputation } from './own-workers.ts';

export interface RunningReplay extends Omit<OwnComputation<Verifier>, 'failureOf'> {
  readonly contents: RunContents;
}

/**
 * Computes the replay with workers on this machine. Rejects with the first difference, with
 * INTERRUPTED or TERMINATED, with NOT_REPLAYABLE if the workers compute different bytes, or, if no
 * worker is left, with the failure of the first worker that ended.
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
    result.steps === 0 ? 'no step was compared' : `no difference up to step ${result.step}`;
  throw new ClusterError(
    outcome.code,
    `${outcome.message} The verification is incomplete: ${reached}`,
  );
}

/** An error that describes both engines and says which options make them equal. */
function otherEngine(verifier: Verifier, { directory, record }: RunContents): ClusterError {
  const ran = record.engine?.description;
  const theirs =
    ran === undefined
      ? 'a different engine'
      : `${ran.kind} (${ran.library}, ${ran.device}, ${counted(ran.threads, 'thread')}) ` +
        `on ${ran.processor}`;
  const ours = verifier.mismatched ?? 'the workers compute different bytes';
  return new ClusterError(
    'NOT_REPLAYABLE',
    `${directory} was computed by ${theirs}; here ${ours}`,
    { fix: fixFor(ran, ours) },
  );
}

/** What to do about a worker here, which `ours` describes, with different bytes from the run. */
export function fixFor(ran: EngineIdentity | undefined, ours: string): string {
  if (ran === undefined)
    return 'run.json does not record the engine; set --engine, --device and --threads';
  // A repetition with the run's own options would end in the same way.
  if (ours.includes(`(${ran.library}, ${ran.device})`) && ran.processor === processorName())
    return (
      'the two descriptions are equal; what can differ: the number of threads (--threads), ' +
      HIDDEN_DIFFERENCES
    );
  return (
    "leave out --engine, --device and --threads to use the run's own; " +
    'the bytes also depend on the library and the kind of processor'
  );
}
