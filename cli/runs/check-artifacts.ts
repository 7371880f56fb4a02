import { join } from 'node:path';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import { checkRunId, newRunId } from '../../coordinator/run-directory/run-directory.ts';
import { ClusterError } from '../../shared/errors.ts';
import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import { checkDestination, type PlannedPush } from '../../artifacts/store/destination.ts';
import type { Log } from '../terminal/log.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { isRestarted } from '../processes/signals.ts';

/**
 * Checks, before anything is computed, whether --artifacts can receive the results. A problem that
 * may be gone by the time the run has finished only causes a warning. Any other problem rejects
 * with USAGE, STORE or RUN_EXISTS, unless a supervisor has restarted the run: a store must not fail
 * a run that has made progress.
 */
export async function checkArtifacts(options: CoordinatorOptions, log: Log): Promise<void> {
  const { artifacts } = options;
  if (artifacts === undefined) return;
  const found = await checkDestination(parseStoreUri(artifacts), await plannedPush(options)).catch(
    (error: unknown) => {
      if (isRestarted() && error instanceof ClusterError) return error;
      throw error;
    },
  );
  if (found === undefined) return;
  log.warn({ code: found.code }, `${found.message}; the run starts anyway (--artifacts)`);
}

async function plannedPush({ resume, runId, runsDir }: CoordinatorOptions): Promise<PlannedPush> {
  if (resume !== undefined) {
    const { run, started } = await readRunRecord(resume);
    return { directory: resume, run, started };
  }
  // A run without a name gets a different id later; the check is the same for any id.
  const run = runId ?? newRunId(new Date());
  checkRunId(run);
  return { directory: join(runsDir, run), run, started: undefined };
}
