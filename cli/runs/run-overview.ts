import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { linesIfThere, readIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { systemProcesses } from '../../coordinator/run-directory/processes.ts';
import { writerOf } from '../../coordinator/run-directory/run-lock.ts';
import { systemDisk } from '../../shared/disk/disk.ts';
import { openEntry } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { eventsFrom } from '../../dashboards/feed/event-lines.ts';
import { RunHistory } from '../../dashboards/feed/history.ts';
import { configurationOfRecord } from '../../shared/configuration.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { METRICS_TAIL_BYTES } from '../../shared/limits.ts';
import { parseRunRecord, type RunRecord, type RunStatus } from '../../shared/files/run-schema.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import {
  EVENTS_FILE,
  METRICS_FILE,
  RECORD_FILE,
  SWEEP_FILE,
} from '../../shared/files/run-layout.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { runFolders } from './run-folders.ts';

/** An overview of a run. It trusts the run's files; only `verify` checks them. */
export interface RunOverview {
  readonly directory: string;
  /** The name of its folder. */
  readonly name: string;
  readonly state: RunStatus;
  /** The process that may be running it. */
  readonly writer: string | undefined;
  /** ISO 8601. */
  readonly started: string;
  /** Number of completed steps. */
  readonly step: number;
  readonly steps: number;
  /** The last evaluation: its set, accuracy as a ratio, mean loss. */
  readonly evaluation: RunHistory['evaluation'];
  /** The mean loss of the first evaluation. */
  readonly firstLoss: number | undefined;
  /** Total time that coordinators ran it, in seconds. */
  readonly seconds: number;
  /**
   * How many of these seconds passed with too few workers; undefined if the events do not record
   * it.
   */
  readonly waited: number | undefined;
  /** The highest number of workers that returned results at the same time. */
  readonly workers: number;
  readonly engine: string | undefined;
  readonly dataset: string;
}

/** A folder that cannot be listed as a run, with the reason. */
export interface Unlisted {
  readonly directory: string;
  readonly reason: string;
}

/**
 * All runs in a folder, newest first; none if the folder does not exist. Rejects with DATA if the
 * folder cannot be read.
 */
export async function listRuns(
  runs: string,
  now: number,
): Promise<{ runs: RunOverview[]; unlisted: Unlisted[] }> {
  const found: RunOverview[] = [];
  const unlisted: Unlisted[] = [];
  for (const name of foldersIn(runs)) {
    const directory = join(runs, name);
    try {
      found.push(await readOverview(directory, name, now));
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      unlisted.push({ directory, reason: error.message });
    }
  }
  return { runs: found.toSorted((a, b) => (a.started < b.started ? 1 : -1)), unlisted };
}

function foldersIn(runs: string): string[] {
  try {
    return runFolders(runs);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw new ClusterError('DATA', `${runs} cannot be read (--runs-dir): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** Reads one run; `now` is Unix milliseconds. Rejects with DATA if the run cannot be read. */
export async function readOverview(
  directory: string,
  name: string,
  now: number,
): Promise<RunOverview> {
  return (await readRecordedRun(directory, name, now)).overview;
}

/** The same, with the record in run.json. */
export async function readRecordedRun(
  directory: string,
  name: string,
  now: number,
): Promise<{ readonly overview: RunOverview; readonly record: RunRecord }> {
  // Read before the record, which then shows whether the run has ended in the meantime.
  const writer = await writerOf(directory, systemDisk, systemProcesses);
  const path = join(directory, RECORD_FILE);
  const text = (await readIfThere(path))?.toString('utf8');
  if (text === undefined) throw new ClusterError('DATA', whyNoRun(directory));
  const record = parseRunRecord(text, RECORD_FILE);
  const history = new RunHistory();
  for await (const event of eventsFrom(linesIfThere(join(directory, EVENTS_FILE))))
    history.add(event);
  const isOver = record.state !== 'running';
  const wasCutOff = !isOver && writer === undefined;
  const overview: RunOverview = {
    directory,
    name,
    writer,
    started: record.started,
    state: wasCutOff ? 'interrupted' : record.state,
    // The record is written at the start and at the end; in between, metrics.jsonl is newer.
    step: isOver ? record.step : await lastStep(join(directory, METRICS_FILE), record.step),
    steps: totalSteps(configurationOfRecord(record.configuration)),
    evaluation:
      record.result === undefined ? history.evaluation : { set: 'test', ...record.result.test },
    firstLoss: history.firstLoss,
    seconds: history.seconds(isOver || wasCutOff ? undefined : now),
    waited: history.waited,
    // Without events, only the workers that the record lists are known.
    workers: history.workersAtOnce || record.workers.filter(({ samples }) => samples > 0).length,
    engine: record.engine?.description.kind ?? history.engine,
    dataset: record.dataset.name ?? 'unknown',
  };
  return { overview, record };
}

function whyNoRun(directory: string): string {
  return existsSync(join(directory, SWEEP_FILE))
    ? `a sweep; list its runs with: mnist-dist runs --runs-dir ${shellPath(directory)}`
    : 'not a run: run.json is missing';
}

const stepSchema = z.looseObject({ step: z.int().min(1) });

/** The step on the last complete line of a metrics.jsonl. */
async function lastStep(path: string, otherwise: number): Promise<number> {
  const lines = (await readTail(path, METRICS_TAIL_BYTES)).split('\n').slice(0, -1);
  try {
    return stepSchema.parse(JSON.parse(lines.at(-1) ?? '')).step;
  } catch {
    // There is no complete line, or the file was edited.
    return otherwise;
  }
}

/** The last `bytes` bytes of a file as text; empty if the file does not exist. */
async function readTail(path: string, bytes: number): Promise<string> {
  try {
    const { handle, size } = await openEntry(path);
    try {
      const length = Math.min(bytes, size);
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(length),
        0,
        length,
        size - length,
      );
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `metrics.jsonl cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
