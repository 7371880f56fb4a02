import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';
import { ClusterError } from '../shared/errors.ts';

export interface RunDirectory {
  readonly id: string;
  readonly path: string;
}

const ATTEMPTS = 16;

/**
 * Makes the directory of a new run, `<runs>/<id>/`, with artifacts/ in it. Without an id it is called after the time, in
 * UTC, and a random suffix. Rejects with USAGE, RUN_EXISTS or DISK.
 */
export async function createRunDirectory(
  runs: string,
  id: string | undefined,
  now: Date,
  random: () => number = Math.random,
): Promise<RunDirectory> {
  if (id !== undefined) checkRunId(id);
  await makeDirectory(runs, true);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const name = id ?? newRunId(now, random);
    const path = join(runs, name);
    if (await makeDirectory(path, false)) {
      await makeDirectory(join(path, 'artifacts'), false);
      return { id: name, path };
    }
    if (id !== undefined) {
      throw new ClusterError('RUN_EXISTS', `the run ${path} exists already`, {
        fix: 'choose another --run-id, or move that folder away',
      });
    }
  }
  throw new ClusterError('RUN_EXISTS', `${ATTEMPTS} run ids of this second are taken in ${runs}`, {
    fix: 'give a --run-id',
  });
}

/** Ids become folders: letters, digits, dot, underscore and hyphen, and no dot at the beginning. */
export function checkRunId(id: string): void {
  if (/^(?!\.)[A-Za-z0-9._-]{1,64}$/.test(id)) return;
  throw new ClusterError('USAGE', `the run id ${JSON.stringify(id.slice(0, 80))} (--run-id) is not allowed`, {
    fix: 'use 1 to 64 letters, digits, dots, underscores and hyphens, with no dot at the beginning',
  });
}

/** The id of a run that got none: YYYYMMDD-HHMMSS-xxxx, in UTC. */
export function newRunId(now: Date, random: () => number = Math.random): string {
  const [date = '', time = ''] = now.toISOString().split('T');
  const suffix = Math.floor(random() * 0x10000)
    .toString(16)
    .padStart(4, '0');
  return `${date.replaceAll('-', '')}-${time.slice(0, 8).replaceAll(':', '')}-${suffix}`;
}

/** Whether the directory is new. */
async function makeDirectory(path: string, recursive: boolean): Promise<boolean> {
  try {
    await mkdir(path, { recursive });
    return true;
  } catch (error) {
    if (!recursive && systemCode(error) === 'EEXIST') return false;
    throw diskError(path, error);
  }
}
