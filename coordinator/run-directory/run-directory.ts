import { join } from 'node:path';
import type { Disk } from '../../shared/disk/disk.ts';
import { diskError, makeDirectories } from '../../shared/disk/whole-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { isStaging } from './staging.ts';
import { MAX_RUN_ID_TRIES } from '../../shared/limits.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  INIT_FILE,
  LOCK_FILE,
  METRICS_FILE,
  RUN_ID,
} from '../../shared/files/run-layout.ts';

export interface RunDirectory {
  readonly id: string;
  readonly path: string;
}

/**
 * Creates the directory of a new run, `<runs>/<id>/`. The default id is the time in UTC with a
 * random suffix. A directory that a crashed coordinator left before it wrote run.json counts as
 * new; the run's lock shows whether that coordinator is still running. Rejects with USAGE,
 * RUN_EXISTS or DISK.
 */
export async function createRunDirectory(
  runs: string,
  id: string | undefined,
  now: Date,
  disk: Disk,
  random: () => number = Math.random,
): Promise<RunDirectory> {
  if (id !== undefined) checkRunId(id);
  await makeDirectories(runs, disk);
  for (let attempt = 0; attempt < MAX_RUN_ID_TRIES; attempt++) {
    const name = id ?? newRunId(now, random);
    const path = join(runs, name);
    if (await makeDirectories(path, disk)) return { id: name, path };
    if (id !== undefined) {
      await checkNotStarted(path, disk);
      return { id, path };
    }
  }
  throw new ClusterError(
    'RUN_EXISTS',
    `all ${MAX_RUN_ID_TRIES} run ids tried for this second already exist in ${runs}`,
    {
      fix: 'set --run-id',
    },
  );
}

/** Throws RUN_EXISTS if the directory contains anything that is not written before run.json. */
export async function checkNotStarted(path: string, disk: Disk): Promise<void> {
  let names: string[];
  try {
    names = await disk.list(path);
  } catch (error) {
    throw diskError(path, error);
  }
  if (names.every(isWrittenBeforeStart)) return;
  throw new ClusterError('RUN_EXISTS', `the run ${path} already exists`, {
    fix: 'choose another --run-id, or move that folder away',
  });
}

function isWrittenBeforeStart(name: string): boolean {
  return (
    isStaging(name) ||
    /^\.lock\.[0-9a-f]{12}\.tmp$/.test(name) ||
    [LOCK_FILE, ARTIFACTS_FOLDER, METRICS_FILE, EVENTS_FILE, INIT_FILE].includes(name)
  );
}

/** Throws USAGE for an id that cannot be the name of a folder. */
export function checkRunId(id: string): void {
  if (RUN_ID.test(id)) return;
  throw new ClusterError(
    'USAGE',
    `the run id ${JSON.stringify(id.slice(0, 80))} (--run-id) is not allowed`,
    {
      fix:
        'use 1 to 64 letters, digits, dots, underscores and hyphens, and do not begin with ' +
        'a dot',
    },
  );
}

/** A default run id: YYYYMMDD-HHMMSS-xxxx, in UTC. */
export function newRunId(now: Date, random: () => number = Math.random): string {
  const [date = '', time = ''] = now.toISOString().split('T');
  const suffix = Math.floor(random() * 0x10000)
    .toString(16)
    .padStart(4, '0');
  return `${date.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${suffix}`;
}
