import { existsSync, statSync, type Stats } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { readEntryNow } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { afterSuggestion, nearest } from '../options/suggest.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { RECORD_FILE } from '../../shared/files/run-layout.ts';
import { runFolders } from './run-folders.ts';

const startedSchema = z.object({ started: z.iso.datetime() });

/**
 * The directory of the run `named`, or of the newest run in `runs`. Throws USAGE if there is no
 * such run, and DATA if this user cannot access the directory.
 */
export function chooseRun(named: string | undefined, runs: string): string {
  if (named === undefined) return newestRun(runs);
  const stat = statIfThere(named);
  if (stat === undefined) throw unknownRun(named, runs);
  if (!stat.isDirectory()) {
    throw new ClusterError('USAGE', `${named} is a file; a run is a directory`, {
      fix: `use its directory: ${shellPath(dirname(named))}`,
    });
  }
  if (existsSync(join(named, RECORD_FILE))) return named;
  if (!foldersIn(named).some((name) => startOf(join(named, name)) !== undefined)) return named;
  throw new ClusterError('USAGE', `${named} is a folder of runs, not a run`, {
    fix:
      `choose one of them, such as ${shellPath(newestRun(named))}, ` +
      `or set --runs-dir ${shellPath(named)}`,
  });
}

/**
 * Throws DATA if the path cannot be resolved, for example because this user may not enter one of
 * its folders.
 */
function statIfThere(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
      fix: "check the path and its folders' permissions, or choose another run",
      cause: error,
    });
  }
}

function newestRun(runs: string): string {
  const found = foldersIn(runs).flatMap((name) => {
    const started = startOf(join(runs, name));
    return started === undefined ? [] : [{ directory: join(runs, name), started }];
  });
  const newest = found.toSorted((a, b) => (a.started < b.started ? 1 : -1))[0];
  if (newest !== undefined) return newest.directory;
  throw new ClusterError('USAGE', `there is no run in ${runs} (--runs-dir)`, {
    fix: 'choose a run, or train one first: mnist-dist local',
  });
}

function unknownRun(named: string, runs: string): ClusterError {
  const known = [...new Set([dirname(named), runs])].flatMap((folder) =>
    foldersIn(folder).map((name) => join(folder, name)),
  );
  const inRuns = join(runs, named);
  const meant = known.includes(inRuns) ? inRuns : nearest(named, known);
  return new ClusterError('USAGE', `there is no run ${named}`, {
    fix: afterSuggestion(
      meant === undefined ? '' : `did you mean ${shellPath(meant)}? `,
      'specify a run by its directory, such as runs/ID',
    ),
  });
}

/** Subfolders that may be runs. */
function foldersIn(folder: string): string[] {
  try {
    return runFolders(folder);
  } catch {
    // A folder that cannot be read does not contain a usable run.
    return [];
  }
}

/** The start time of the run in this folder, in ISO 8601; undefined if there is none. */
function startOf(directory: string): string | undefined {
  try {
    return startedSchema.parse(
      JSON.parse(readEntryNow(join(directory, RECORD_FILE)).toString('utf8')),
    ).started;
  } catch {
    return undefined;
  }
}
