import { join } from 'node:path';
import { systemDisk, type Disk } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import type { Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import {
  EVENTS_TAIL_BYTES,
  LINE_PIECE_BYTES,
  MAX_METRICS_LINE_BYTES,
} from '../../shared/limits.ts';
import {
  FIRST_LINE,
  lastLineOf,
  MetricsReader,
  type LinePosition,
  type MetricsLine,
} from '../../shared/files/metrics.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';
import { EVENTS_FILE, METRICS_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/** The record of a run that was begun before. Rejects with DATA. */
export async function readRunRecord(
  directory: string,
  disk: Disk = systemDisk,
): Promise<RunRecord> {
  const path = join(directory, RECORD_FILE);
  return parseRunRecord(await readText(path, disk), path);
}

/** A line of metrics.jsonl, and where it ends. */
export interface RecordedLine {
  readonly line: MetricsLine;
  readonly end: LinePosition;
}

/**
 * What an earlier coordinator has left in metrics.jsonl, as seen from a checkpoint, or from the
 * beginning.
 */
export interface RecordedLines {
  /** The last line that the checkpoint knows; undefined where there is none. */
  readonly known: RecordedLine | undefined;
  /** All lines after it: their steps are computed again. */
  readonly later: readonly RecordedLine[];
}

type Known = Pick<Checkpoint, 'step' | 'evaluated' | 'chain' | 'lines'>;

/** Where the lines end. */
export function endOf({ known, later }: RecordedLines): LinePosition {
  return later.at(-1)?.end ?? known?.end ?? FIRST_LINE;
}

/**
 * The whole lines of metrics.jsonl after those that the checkpoint knows. It says where they begin;
 * where the line that ends there is not the checkpoint's, or it does not say so, all lines are
 * read. Rejects with DATA when a line that was read was changed.
 */
export async function readLines(
  directory: string,
  checkpoint: Known | undefined,
  disk: Disk = systemDisk,
): Promise<RecordedLines> {
  const path = join(directory, METRICS_FILE);
  try {
    const known = checkpoint && (await knownLine(path, checkpoint, disk));
    return await readFrom(path, known, checkpoint, disk);
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The line that ends where the checkpoint says, if it is that of its step. */
async function knownLine(
  path: string,
  { step, evaluated, chain, lines: end }: Known,
  disk: Disk,
): Promise<RecordedLine | undefined> {
  if (end === undefined) return undefined;
  const start = Math.max(0, end.bytes - 2 * MAX_METRICS_LINE_BYTES);
  const piece = await disk.readAt(path, start, end.bytes - start);
  if (piece.length < end.bytes - start) return undefined;
  const line = lastLineOf(piece, end.digest, start === 0);
  if (line?.step !== step) return undefined;
  const isOwn = line.kind === 'step' ? line.chain === chain : evaluated >= step;
  return isOwn ? { line, end } : undefined;
}

async function readFrom(
  path: string,
  from: RecordedLine | undefined,
  checkpoint: Known | undefined,
  disk: Disk,
): Promise<RecordedLines> {
  const reader = new MetricsReader(from?.end);
  const later: RecordedLine[] = [];
  let known = from;
  for await (const piece of piecesOf(path, disk, reader.position.bytes)) {
    for (const line of reader.read(piece)) {
      const old = { line, end: reader.position };
      if (later.length === 0 && isKnown(line, checkpoint)) known = old;
      else later.push(old);
    }
  }
  const { bad } = reader;
  if (bad === undefined) return { known, later };
  const place = from === undefined ? '' : ` after byte ${from.end.bytes}`;
  throw new ClusterError(
    'DATA',
    `line ${bad.line}${place} of ${path} is not what was written: ${bad.reason}`,
    {
      fix: 'a run whose record was changed cannot be resumed: start a new one',
    },
  );
}

/** The bytes of a file, piece by piece; others may work in between. */
export async function* piecesOf(
  path: string,
  disk: Disk,
  start = 0,
  end = Infinity,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const piece = await disk.readAt(path, at, Math.min(LINE_PIECE_BYTES, end - at));
    if (piece.length === 0) return;
    yield piece;
    at += piece.length;
  }
}

function isKnown({ step, kind }: MetricsLine, checkpoint: Known | undefined): boolean {
  if (checkpoint === undefined) return false;
  if (step !== checkpoint.step) return step < checkpoint.step;
  return kind === 'step' || checkpoint.evaluated >= step;
}

/**
 * Whether engines were mixed, or may have been when it crashed: then steps that are computed again
 * may come out otherwise, and nobody can verify the run.
 */
export function isPerhapsMixed({ engine, launch, state }: RunRecord): boolean {
  if (engine?.reproducible === false) return true;
  // Which engines computed before a crash nobody has written down.
  return launch['allow_mixed_engines'] === true && (state === 'running' || engine === undefined);
}

/** Whether there are lines of all that this checkpoint knows. */
export function reaches(
  { known, later }: RecordedLines,
  { step, evaluated }: Pick<Checkpoint, 'step' | 'evaluated'>,
): boolean {
  const last = (later.at(-1) ?? known)?.line;
  if (last === undefined || last.step < step) return false;
  return last.step > step || last.kind === 'evaluation' || evaluated < step;
}

/** What an earlier coordinator has left in events.jsonl. */
export interface RecordedEvents {
  /** The bytes of its whole lines. */
  readonly bytes: number;
  /** The last of them: nothing is computed from events. */
  readonly tail: string;
}

/** Undefined where the file is missing. Rejects with DATA where it cannot be read. */
export async function readEvents(
  directory: string,
  disk: Disk,
): Promise<RecordedEvents | undefined> {
  if (!(await disk.list(directory)).includes(EVENTS_FILE)) return undefined;
  const path = join(directory, EVENTS_FILE);
  try {
    for (let end = await disk.size(path); ;) {
      const start = Math.max(0, end - EVENTS_TAIL_BYTES);
      const piece = Buffer.from(await disk.readAt(path, start, end - start));
      const whole = piece.lastIndexOf(0x0a) + 1;
      if (whole > 0 || start === 0)
        return { bytes: start + whole, tail: piece.toString('utf8', 0, whole) };
      end = start;
    }
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * The directory of the newest run that can go on: not finished, not diverged. Rejects with USAGE
 * where there is none.
 */
export async function newestUnfinished(runs: string): Promise<string> {
  let best: { readonly directory: string; readonly started: string } | undefined;
  for (const name of await namesIn(runs)) {
    // What a pull has not finished.
    if (name.startsWith('.')) continue;
    const directory = join(runs, name);
    const record = await readRunRecord(directory).catch(ignoreForeign);
    if (record === undefined || record.state === 'finished' || record.state === 'diverged')
      continue;
    if (best === undefined || record.started > best.started)
      best = { directory, started: record.started };
  }
  if (best !== undefined) return best.directory;
  throw new ClusterError('USAGE', `no run in ${runs} is unfinished (--resume)`, {
    fix: 'name the run to prolong, --resume RUN --epochs N, or another --runs-dir',
  });
}

/** A folder that is no run of ours is passed over. */
function ignoreForeign(error: unknown): undefined {
  if (error instanceof ClusterError && (error.code === 'DATA' || error.code === 'LIMIT'))
    return undefined;
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

async function readText(path: string, disk: Disk): Promise<string> {
  try {
    return Buffer.from(await disk.read(path)).toString();
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
