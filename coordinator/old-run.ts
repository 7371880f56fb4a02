import { join } from 'node:path';
import { systemDisk, type Disk } from '../data/disk.ts';
import type { ReadLimit } from '../data/regular-file.ts';
import { systemCode } from '../data/system-error.ts';
import type { Checkpoint } from '../shared/checkpoint-file.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { readMetrics, type MetricsLine } from '../shared/metrics.ts';
import { parseRunRecord, type RunRecord } from '../shared/run-schema.ts';

/** The record of a run that was begun before. Rejects with DATA. */
export async function readRunRecord(directory: string, disk: Disk = systemDisk): Promise<RunRecord> {
  const path = join(directory, 'run.json');
  return parseRunRecord(await readText(path, disk), path);
}

/** More than a string holds. */
const lineFileLimit: ReadLimit = { name: '2 ** 29', bytes: 2 ** 29 };

/** Of metrics.jsonl. */
export interface OldLines {
  readonly lines: readonly MetricsLine[];
  readonly text: string;
}

/** The whole lines of metrics.jsonl, and their text without one that a crash has torn. Rejects with DATA when one was changed. */
export async function readLines(directory: string, disk: Disk = systemDisk): Promise<OldLines> {
  const path = join(directory, 'metrics.jsonl');
  const text = await readText(path, disk, lineFileLimit);
  const { lines, wholeBytes, bad } = readMetrics(text);
  if (bad !== undefined) {
    throw new ClusterError('DATA', `line ${bad.line} of ${path} is not what was written: ${bad.reason}`, {
      fix: 'a run whose record was changed cannot go on: start another one',
    });
  }
  return { lines, text: text.slice(0, wholeBytes) };
}

/**
 * Whether engines were mixed, or may have been when it crashed: then steps that are computed again may come out otherwise, and
 * nobody can verify the run.
 */
export function isPerhapsMixed({ engine, launch, state }: RunRecord): boolean {
  if (engine?.reproducible === false) return true;
  // Which engines computed before a crash nobody has written down.
  return launch['allow_mixed_engines'] === true && (state === 'running' || engine === undefined);
}

/** The lines of what this checkpoint knows, and their text; without one, none. */
export function linesUntil(
  checkpoint: Pick<Checkpoint, 'step' | 'evaluated'> | undefined,
  { lines, text }: OldLines,
): OldLines {
  const { step = 0, evaluated = 0 } = checkpoint ?? {};
  const isKnown = (line: MetricsLine) =>
    line.step < step || (line.step === step && (line.kind === 'step' || evaluated >= step));
  const end = lines.findIndex((line) => !isKnown(line));
  if (end < 0) return { lines, text };
  const kept = text.split('\n').slice(0, end);
  return { lines: lines.slice(0, end), text: kept.map((line) => `${line}\n`).join('') };
}

/** Whether there are lines of all that this checkpoint knows. */
export function reaches(
  { lines }: OldLines,
  { step, evaluated }: Pick<Checkpoint, 'step' | 'evaluated'>,
): boolean {
  const last = lines.at(-1);
  if (last === undefined || last.step < step) return false;
  return last.step > step || last.kind === 'evaluation' || evaluated < step;
}

/** The whole lines of events.jsonl; none where somebody removed it: nothing is computed from it. */
export async function readEvents(directory: string, disk: Disk): Promise<string> {
  const name = 'events.jsonl';
  if (!(await disk.list(directory)).includes(name)) return '';
  const text = await readText(join(directory, name), disk, lineFileLimit);
  return text.slice(0, text.lastIndexOf('\n') + 1);
}

/** The directory of the newest run that can go on: not finished, not diverged. Rejects with USAGE where there is none. */
export async function newestUnfinished(runs: string): Promise<string> {
  let best: { readonly directory: string; readonly started: string } | undefined;
  for (const name of await namesIn(runs)) {
    // What a pull has not finished.
    if (name.startsWith('.')) continue;
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
    return await systemDisk.list(runs);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw new ClusterError('DATA', `${runs} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function readText(path: string, disk: Disk, limit?: ReadLimit): Promise<string> {
  try {
    return Buffer.from(await disk.read(path, limit)).toString();
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
