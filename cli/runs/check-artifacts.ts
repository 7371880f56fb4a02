import { join } from 'node:path';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import { checkRunId, newRunId } from '../../coordinator/run-directory/run-directory.ts';
import { ClusterError } from '../../shared/errors.ts';
import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import { checkDestination, type PlannedPush } from '../../artifacts/store/destination.ts';
import type { Log } from '../terminal/log.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { isSupervised } from '../processes/signals.ts';

/**
 * Looks, before anything is computed, whether the results can be put where --artifacts says. What
 * may pass until the run is over is a warning. Rejects with USAGE, STORE or RUN_EXISTS for anything
 * else; it is a warning, too, where a supervisor has started the run again: what was computed so
 * far is worth more than its place in a store.
 */
export async function checkArtifacts(options: CoordinatorOptions, log: Log): Promise<void> {
  const { artifacts, resume } = options;
  if (artifacts === undefined) return;
  const isRestarted = isSupervised() && resume !== undefined;
  const found = await checkDestination(parseStoreUri(artifacts), await plannedPush(options)).catch(
    (error: unknown) => {
      if (isRestarted && error instanceof ClusterError) return error;
      throw error;
    },
  );
  if (found === undefined) return;
  log.warn({ code: found.code }, `${found.message}; the run begins all the same (--artifacts)`);
}

async function plannedPush({ resume, runId, runsDir }: CoordinatorOptions): Promise<PlannedPush> {
  if (resume !== undefined) {
    const { run, started } = await readRunRecord(resume);
    return { directory: resume, run, started };
  }
  // One without a name gets another than this one; that makes no difference to where it may lie.
  const run = runId ?? newRunId(new Date());
  checkRunId(run);
  return { directory: join(runsDir, run), run, started: undefined };
}
