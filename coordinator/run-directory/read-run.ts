import { join } from 'node:path';
import { systemDisk, type Disk } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import type { Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { evaluatedSets } from '../../shared/evaluation/evaluated-set.ts';
import {
  EVENTS_TAIL_BYTES,
  LINE_PIECE_BYTES,
  MAX_JSON_LINE_BYTES,
  MAX_METRICS_LINE_BYTES,
} from '../../shared/limits.ts';
import {
  FIRST_LINE,
  lastLineOf,
  MetricsReader,
  type LinePosition,
  type MetricsLine,
} from '../../shared/files/metrics.ts';
import { lineTooLong } from '../../shared/files/line-limit.ts';
import { taskOrder } from '../../shared/wire/task-order.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';
import { EVENTS_FILE, METRICS_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/** An existing run's run.json. Rejects with DATA. */
export async function readRunRecord(
  directory: string,
  disk: Disk = systemDisk,
): Promise<RunRecord> {
  const path = join(directory, RECORD_FILE);
  return parseRunRecord(await readText(path, disk), path);
}

/** Throws USAGE for a run of an older arithmetic, which this version cannot continue. */
export function refuseOldArithmetic({ arithmetic, version }: RunRecord, directory: string): void {
  if (arithmetic === ARITHMETIC) return;
  throw new ClusterError(
    'USAGE',
    `${directory} was computed with arithmetic ${arithmetic}; this mnist-dist uses arithmetic ` +
      `${ARITHMETIC}, whose steps have different bytes (--resume)`,
    {
      fix:
        `resume it with the mnist-dist that computed it (version ${version}), ` +
        'or start a new run',
    },
  );
}

/** A line in metrics.jsonl, and the position of its end. */
export interface RecordedLine {
  readonly line: MetricsLine;
  readonly end: LinePosition;
}

/** An earlier coordinator's lines in metrics.jsonl, split at a checkpoint or at the beginning. */
export interface RecordedLines {
  /** The last line that the checkpoint covers; undefined if there is none. */
  readonly covered: RecordedLine | undefined;
  /** All lines after it, whose steps are recomputed. */
  readonly later: readonly RecordedLine[];
}

type CheckpointPosition = Pick<Checkpoint, 'step' | 'evaluated' | 'chain' | 'lines'>;

/** The end of the last line. */
export function endOf({ covered, later }: RecordedLines): LinePosition {
  return later.at(-1)?.end ?? covered?.end ?? FIRST_LINE;
}

/**
 * The complete lines of metrics.jsonl, split after those that the checkpoint covers. Reading starts
 * at the position recorded in the checkpoint; if the line before that position does not match, all
 * lines are read. Rejects with DATA if a line is damaged.
 */
export async function readLines(
  directory: string,
  checkpoint: CheckpointPosition | undefined,
  disk: Disk = systemDisk,
): Promise<RecordedLines> {
  const path = join(directory, METRICS_FILE);
  try {
    const covered = checkpoint && (await coveredLine(path, checkpoint, disk));
    return await readFrom(path, covered, checkpoint, disk);
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The line that ends at the checkpoint's position, if it belongs to the checkpoint's step. */
async function coveredLine(
  path: string,
  { step, evaluated, chain, lines: end }: CheckpointPosition,
  disk: Disk,
): Promise<RecordedLine | undefined> {
  if (end === undefined) return undefined;
  const start = Math.max(0, end.bytes - 2 * MAX_METRICS_LINE_BYTES);
  const piece = await disk.readAt(path, start, end.bytes - start);
  if (piece.length < end.bytes - start) return undefined;
  const line = lastLineOf(piece, end.digest, start === 0);
  if (line?.step !== step || orderOf(line) > lastOrder({ step, evaluated })) return undefined;
  // An evaluation has a link only if it counts for early stopping.
  return (line.chain ?? chain) === chain ? { line, end } : undefined;
}

async function readFrom(
  path: string,
  from: RecordedLine | undefined,
  checkpoint: CheckpointPosition | undefined,
  disk: Disk,
): Promise<RecordedLines> {
  const reader = new MetricsReader(from?.end);
  const later: RecordedLine[] = [];
  let covered = from;
  for await (const piece of piecesOf(path, disk, reader.position.bytes)) {
    for (const line of reader.read(piece)) {
      const old = { line, end: reader.position };
      if (later.length === 0 && isCovered(line, checkpoint)) covered = old;
      else later.push(old);
    }
    if (reader.bad !== undefined) break;
  }
  const { bad } = reader;
  if (bad === undefined) return { covered, later };
  const place = from === undefined ? '' : ` after byte ${from.end.bytes}`;
  throw new ClusterError('DATA', `line ${bad.line}${place} of ${path} is damaged: ${bad.reason}`, {
    fix: 'a run with damaged metrics cannot be resumed: start a new one',
  });
}

/** A file's bytes, piece by piece, without blocking the event loop. */
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

function isCovered(line: MetricsLine, checkpoint: CheckpointPosition | undefined): boolean {
  return checkpoint !== undefined && orderOf(line) <= lastOrder(checkpoint);
}

/** When the line's step or evaluation comes. */
function orderOf(line: MetricsLine): number {
  return taskOrder(line.kind === 'step' ? line.kind : line.set, line.step);
}

/** When the last step or evaluation comes that the checkpoint covers. */
function lastOrder({ step, evaluated }: Pick<Checkpoint, 'step' | 'evaluated'>): number {
  const last = evaluatedSets.findLast((set) => evaluated[set] >= step);
  return taskOrder(last ?? 'step', step);
}

/**
 * Whether engines were mixed, or may have been before a crash. In that case recomputed steps may
 * differ, and the run cannot be verified.
 */
export function isPerhapsMixed({ engine, launch, state }: RunRecord): boolean {
  if (engine?.reproducible === false) return true;
  // run.json does not say which engines were in use before a crash.
  return launch['allow_mixed_engines'] === true && (state === 'running' || engine === undefined);
}

/** Whether the lines contain everything that this checkpoint covers. */
export function reaches(
  { covered, later }: RecordedLines,
  checkpoint: Pick<Checkpoint, 'step' | 'evaluated'>,
): boolean {
  const last = (later.at(-1) ?? covered)?.line;
  return last !== undefined && orderOf(last) >= lastOrder(checkpoint);
}

/** An earlier coordinator's events.jsonl. */
export interface RecordedEvents {
  /** The size of its complete lines, in bytes. */
  readonly bytes: number;
  /** The last lines, for viewers. */
  readonly tail: string;
}

/** A run's events; undefined if the file is missing. Rejects with DATA. */
export async function readEvents(
  directory: string,
  disk: Disk,
): Promise<RecordedEvents | undefined> {
  if (!(await disk.list(directory)).includes(EVENTS_FILE)) return undefined;
  const path = join(directory, EVENTS_FILE);
  try {
    const size = await disk.size(path);
    const start = Math.max(0, size - EVENTS_TAIL_BYTES);
    const piece = Buffer.from(await disk.readAt(path, start, size - start));
    const whole = piece.lastIndexOf(0x0a) + 1;
    // A crash leaves at most the beginning of a line.
    if (piece.length - whole > MAX_JSON_LINE_BYTES) throw lineTooLong(path);
    return { bytes: start + whole, tail: piece.toString('utf8', 0, whole) };
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** The directory of the newest run that is neither finished nor diverged. Rejects with USAGE. */
export async function newestUnfinished(runs: string): Promise<string> {
  let best: { readonly directory: string; readonly started: string } | undefined;
  for (const name of await namesIn(runs)) {
    // An unfinished pull left this folder behind.
    if (name.startsWith('.')) continue;
    const directory = join(runs, name);
    const record = await readRunRecord(directory).catch(ignoreForeign);
    if (record === undefined || record.state === 'finished' || record.state === 'diverged')
      continue;
    if (best === undefined || record.started > best.started)
      best = { directory, started: record.started };
  }
  if (best !== undefined) return best.directory;
  throw new ClusterError('USAGE', `there is no unfinished run in ${runs} (--resume)`, {
    fix: 'choose a run to extend (--resume RUN --epochs N), or set another --runs-dir',
  });
}

/** Ignores the error for a folder that is not a run. */
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
