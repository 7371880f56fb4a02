import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { ClusterError } from '../shared/errors.ts';
import { nearest } from './suggest.ts';

const startedSchema = z.object({ started: z.iso.datetime(), state: z.string().optional() });

/** The directory of the run that was named, or of the newest one in `runs`. Throws USAGE where there is none. */
export function chooseRun(named: string | undefined, runs: string): string {
  if (named === undefined) return newestRun(runs);
  const stat = statSync(named, { throwIfNoEntry: false });
  if (stat === undefined) throw unknownRun(named, runs);
  if (!stat.isDirectory()) {
    throw new ClusterError('USAGE', `${named} is a file; a run is a directory`, {
      fix: `name its directory: ${dirname(named)}`,
    });
  }
  if (!foldersIn(named).some((name) => startOf(join(named, name)) !== undefined)) return named;
  throw new ClusterError('USAGE', `${named} is no run, but a folder of runs`, {
    fix: `name one of them, such as ${newestRun(named)}, or give --runs-dir ${named}`,
  });
}

/** The newest run in `runs` that is finished. Throws USAGE where there is none. */
export function newestFinishedRun(runs: string): string {
  const newest = newestFirst(runs).find(({ state }) => state === 'finished');
  if (newest !== undefined) return newest.directory;
  throw noRun(`there is no finished run in ${runs} (--runs-dir)`);
}

function newestRun(runs: string): string {
  const [newest] = newestFirst(runs);
  if (newest !== undefined) return newest.directory;
  throw noRun(`there is no run in ${runs} (--runs-dir)`);
}

function noRun(message: string): ClusterError {
  return new ClusterError('USAGE', message, { fix: 'name a run, or train one first: mnist-dist local' });
}

function newestFirst(runs: string) {
  const found = foldersIn(runs).flatMap((name) => {
    const run = startOf(join(runs, name));
    return run === undefined ? [] : [{ directory: join(runs, name), ...run }];
  });
  return found.toSorted((a, b) => (a.started < b.started ? 1 : -1));
}

function unknownRun(named: string, runs: string): ClusterError {
  const known = [...new Set([dirname(named), runs])].flatMap((folder) =>
    foldersIn(folder).map((name) => join(folder, name)),
  );
  const inRuns = join(runs, named);
  const meant = known.includes(inRuns) ? inRuns : nearest(named, known);
  return new ClusterError('USAGE', `there is no run ${named}`, {
    fix: `${meant === undefined ? '' : `Did you mean ${meant}? `}A run is named by its directory, such as runs/ID.`,
  });
}

function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    // Whatever cannot be read holds no run that could be.
    return [];
  }
}

/** When the run in this folder was started, and how it stands; undefined where there is none. */
function startOf(directory: string): z.infer<typeof startedSchema> | undefined {
  try {
    return startedSchema.parse(JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')));
  } catch {
    return undefined;
  }
}
