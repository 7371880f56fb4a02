import { readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { readMetrics, type MetricsLine } from '../shared/metrics.ts';
import { parseRunRecord, type RunRecord } from '../shared/run-schema.ts';

/** What a run that was begun before has left: its record and its lines. */
export async function readRunRecord(directory: string): Promise<RunRecord> {
  const path = join(directory, 'run.json');
  return parseRunRecord(await readText(path), path);
}

/** The whole lines of metrics.jsonl; one that a crash has torn is cut off the file. Rejects with DATA when one was changed. */
export async function readLines(directory: string): Promise<MetricsLine[]> {
  const path = join(directory, 'metrics.jsonl');
  const { lines, wholeBytes, torn, bad } = readMetrics(await readText(path));
  if (bad !== undefined) {
    throw new ClusterError('DATA', `line ${bad.line} of ${path} is not what was written: ${bad.reason}`, {
      fix: 'a run whose record was changed cannot go on: start another one',
    });
  }
  if (!torn) return lines;
  try {
    await truncate(path, wholeBytes);
  } catch (error) {
    throw diskError(path, error);
  }
  return lines;
}

/** The directory of the newest run that can go on: not finished, not diverged. Rejects with USAGE where there is none. */
export async function newestUnfinished(runs: string): Promise<string> {
  let best: { readonly directory: string; readonly started: string } | undefined;
  for (const name of await namesIn(runs)) {
    const directory = join(runs, name);
    const record = await readRunRecord(directory).catch(ignoreForeign);
    if (record === undefined || record.state === 'finished' || record.state === 'diverged') continue;
    if (best === undefined || record.started > best.started) best = { directory, started: record.started };
  }
  if (best !== undefined) return best.directory;
  throw new ClusterError('USAGE', `no run in ${runs} is unfinished (--resume)`, {
    fix: 'name the run to prolong, --resume RUN --epochs N, or another --runs-dir',
  });
}

/** A folder that is no run of ours is passed over. */
function ignoreForeign(error: unknown): undefined {
  if (error instanceof ClusterError && error.code === 'DATA') return undefined;
  throw error;
}

async function namesIn(runs: string): Promise<string[]> {
  try {
    const entries = await readdir(runs, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw new ClusterError('DATA', `${runs} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
