import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemDisk } from '../../shared/disk/disk.ts';
import {
  entryPieces,
  entryPiecesNow,
  isOwnFolder,
  readEntry,
  runFileLimit,
  tensorFileLimit,
} from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { configurationOfRecord, type Configuration } from '../../shared/configuration.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { linesWithin } from '../../shared/files/line-limit.ts';
import {
  metricsLines,
  metricsLinesFrom,
  MetricsReader,
  type MetricsLine,
} from '../../shared/files/metrics.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';
import { checkpointStep } from './checkpoints.ts';
import { systemProcesses } from './processes.ts';
import { writerOf } from './run-lock.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';
import {
  CHECKPOINTS_FOLDER,
  METRICS_FILE,
  MODEL_FILE,
  RECORD_FILE,
} from '../../shared/files/run-layout.ts';

/** A checkpoint file, which is read when it is needed. */
export interface CheckpointFile {
  readonly step: number;
  readonly path: string;
}

/** The files needed to recompute a run, read but not checked. */
export interface RunContents {
  readonly directory: string;
  /** The process that may still be writing to the run, for messages. */
  readonly writer: string | undefined;
  readonly record: RunRecord;
  readonly configuration: Configuration;
  /** In the order of their steps. */
  readonly checkpoints: readonly CheckpointFile[];
  /** The bytes of model.safetensors; undefined if there is none. */
  readonly model: Uint8Array | undefined;
}

/**
 * Reads a run's directory. Rejects with USAGE for a directory without run.json, with NOT_REPLAYABLE
 * for a run with a newer arithmetic, and with DATA if a file cannot be read.
 */
export async function readRunContents(directory: string): Promise<RunContents> {
  // Read in this order: if a running coordinator adds lines in the meantime, the files read later
  // then contain more than the files read earlier refer to, never less.
  const writer = await writerOf(directory, systemDisk, systemProcesses);
  const record = await readRecord(directory);
  const checkpoints = await listCheckpoints(directory);
  const model = await readIfThere(join(directory, MODEL_FILE), tensorFileLimit);
  const configuration = configurationOfRecord(record.configuration);
  return { directory, writer, record, configuration, checkpoints, model };
}

async function readRecord(directory: string): Promise<RunRecord> {
  const path = join(directory, RECORD_FILE);
  const bytes = await readIfThere(path);
  if (bytes === undefined) {
    throw new ClusterError('USAGE', `${directory} is not a run: ${path} is missing`, {
      fix: 'specify the directory of a run, such as runs/ID',
    });
  }
  const text = bytes.toString('utf8');
  refuseNewerArithmetic(text, path);
  return parseRunRecord(text, path);
}

const versionsSchema = z.object({ arithmetic: z.int(), version: z.string() });

/** A run with a newer arithmetic may have a different schema, so this check comes first. */
function refuseNewerArithmetic(text: string, path: string): void {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // parseRunRecord reports the error.
    return;
  }
  const { data } = versionsSchema.safeParse(json);
  if (data !== undefined && data.arithmetic > ARITHMETIC) throw otherArithmetic(data, path);
}

/**
 * Throws NOT_REPLAYABLE for a run with an older arithmetic, which can be read but not recomputed.
 */
export function requireOwnArithmetic({ directory, record }: RunContents): void {
  if (record.arithmetic !== ARITHMETIC) throw otherArithmetic(record, join(directory, RECORD_FILE));
}

function otherArithmetic(
  { arithmetic, version }: Pick<RunRecord, 'arithmetic' | 'version'>,
  path: string,
): ClusterError {
  return new ClusterError(
    'NOT_REPLAYABLE',
    `${path} was computed with arithmetic ${arithmetic}; this mnist-dist uses arithmetic ` +
      `${ARITHMETIC}`,
    { fix: `verify it with the mnist-dist that computed it (version ${version.slice(0, 32)})` },
  );
}

async function listCheckpoints(directory: string): Promise<CheckpointFile[]> {
  const folder = join(directory, CHECKPOINTS_FOLDER);
  try {
    if (!(await isOwnFolder(folder))) return [];
    return (await readdir(folder)).toSorted().flatMap((name) => {
      const step = checkpointStep(name);
      return step === undefined ? [] : [{ step, path: join(folder, name) }];
    });
  } catch (error) {
    throw unreadable(folder, error);
  }
}

/** The bytes of a run's file; undefined if the file is missing. Rejects with DATA. */
export async function readIfThere(path: string, limit = runFileLimit): Promise<Buffer | undefined> {
  try {
    return await readEntry(path, limit);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw unreadable(path, error);
  }
}

/**
 * The lines of a run's metrics.jsonl after `reader`'s position; none if the file is missing.
 * Afterwards, `reader` knows where the last good line ends, and what is wrong after it. Rejects
 * with DATA if the file cannot be read.
 */
export function metricsOf(
  directory: string,
  reader = new MetricsReader(),
): AsyncGenerator<MetricsLine, void> {
  const path = join(directory, METRICS_FILE);
  return metricsLinesFrom(ifThere(path, entryPieces(path, reader.position.bytes)), reader);
}

/** Like `metricsOf`, but synchronous, for readers that take one line at a time. */
export function* metricsNow(
  directory: string,
  reader = new MetricsReader(),
): Generator<MetricsLine> {
  const path = join(directory, METRICS_FILE);
  try {
    yield* metricsLines(entryPiecesNow(path, reader.position.bytes), reader);
  } catch (error) {
    if (!isMissing(error)) throw unreadable(path, error);
  }
}

/**
 * The bytes of a run's file of JSON lines; none if the file is missing. Rejects with DATA, also for
 * a line that is longer than any that is ever written.
 */
export function linesIfThere(path: string): AsyncGenerator<Uint8Array> {
  return ifThere(path, linesWithin(entryPieces(path), path));
}

async function* ifThere<T>(path: string, pieces: AsyncIterable<T>): AsyncGenerator<T, void> {
  try {
    yield* pieces;
  } catch (error) {
    if (!isMissing(error)) throw unreadable(path, error);
  }
}

function isMissing(error: unknown): boolean {
  return systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR';
}

function unreadable(path: string, error: unknown): ClusterError {
  if (error instanceof ClusterError) return error;
  return new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
}
