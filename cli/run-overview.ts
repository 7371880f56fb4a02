import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { piecesIfThere, readIfThere } from '../coordinator/evidence.ts';
import { systemProcesses } from '../coordinator/processes.ts';
import { writerOf } from '../coordinator/run-lock.ts';
import { systemDisk } from '../data/disk.ts';
import { openEntry } from '../data/regular-file.ts';
import { systemCode } from '../data/system-error.ts';
import { eventsIn, type RecordedEvent } from '../observation/event-lines.ts';
import { configurationOfRecord } from '../shared/configuration.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { METRICS_TAIL_BYTES } from '../shared/limits.ts';
import { parseRunRecord, type RunRecord, type RunStatus } from '../shared/run-schema.ts';
import { totalSteps } from '../shared/schedule.ts';

/** A run at a glance. Taken from its files as they are; `verify` is for whoever doubts them. */
export interface RunOverview {
  readonly directory: string;
  /** The name of its folder. */
  readonly name: string;
  readonly state: RunStatus;
  /** Who may be at work on it. */
  readonly writer: string | undefined;
  /** ISO 8601. */
  readonly started: string;
  /** Steps done, of so many. */
  readonly step: number;
  readonly steps: number;
  /** The last evaluation of the test set: a ratio and a mean. */
  readonly test: { readonly accuracy: number; readonly loss: number } | undefined;
  /** How long coordinators were at work on it, without the pauses between them. */
  readonly seconds: number;
  /** Workers whose results it used. */
  readonly workers: number;
  readonly engine: string | undefined;
  readonly dataset: string;
}

/** A folder that cannot be listed as a run, and why. */
export interface Unlisted {
  readonly directory: string;
  readonly reason: string;
}

/** All runs of a folder, the newest first; none where there is no such folder. Rejects with DATA where it cannot be read. */
export async function listRuns(
  runs: string,
  now: number,
): Promise<{ runs: RunOverview[]; unlisted: Unlisted[] }> {
  const found: RunOverview[] = [];
  const unlisted: Unlisted[] = [];
  for (const name of await foldersIn(runs)) {
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

/** In the order of their names. A run's has no dot at its beginning. */
async function foldersIn(runs: string): Promise<string[]> {
  try {
    const entries = await readdir(runs, { withFileTypes: true });
    const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'));
    return folders.map(({ name }) => name).toSorted();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw new ClusterError('DATA', `${runs} cannot be read (--runs-dir): ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** One of them; `now` is the time in milliseconds. Rejects with DATA where it cannot be read. */
export async function readOverview(directory: string, name: string, now: number): Promise<RunOverview> {
  // In this order: a run that ends meanwhile says so in the record that is read afterwards.
  const writer = await writerOf(directory, systemDisk, systemProcesses);
  const path = join(directory, 'run.json');
  const text = (await readIfThere(path))?.toString('utf8');
  if (text === undefined) throw new ClusterError('DATA', 'it is no run: there is no run.json');
  const record = parseRunRecord(text, 'run.json');
  const events = telling(eventsIn(piecesIfThere(join(directory, 'events.jsonl'))));
  const isOver = record.state !== 'running';
  const wasCutOff = !isOver && writer === undefined;
  return {
    ...{ directory, name, writer, started: record.started },
    state: wasCutOff ? 'interrupted' : record.state,
    // A record is written when the run begins and when it ends; in between its lines are newer.
    step: isOver ? record.step : await lastStep(join(directory, 'metrics.jsonl'), record.step),
    steps: totalSteps(configurationOfRecord(record.configuration)),
    test: record.result?.test ?? lastEvaluation(events),
    seconds: secondsAtWork(events, record, isOver || wasCutOff ? undefined : now),
    workers: countWorkers(events, record),
    engine: record.engine?.description.kind ?? engineOf(events),
    dataset: record.dataset.name ?? 'unknown',
  };
}

/**
 * Those of a run's events, in their order, on which an overview depends: each start with the event before it, the first result of
 * each worker, the last evaluation and engine, and the last event of all. A long run has too many to keep them.
 */
function telling(events: Iterable<RecordedEvent>): RecordedEvent[] {
  const kept: RecordedEvent[] = [];
  const last = new Map<string, RecordedEvent>();
  const workers = new Set<unknown>();
  let before: RecordedEvent | undefined;
  for (const event of events) {
    if (event.event === 'start') kept.push(...(before === undefined ? [] : [before]), event);
    if (event.event === 'first_shard' && !workers.has(event['worker'])) {
      workers.add(event['worker']);
      kept.push(event);
    }
    if (event.event === 'evaluation' || event.event === 'ready') last.set(event.event, event);
    before = event;
  }
  return [...kept, ...last.values(), ...(before === undefined ? [] : [before])];
}

const stepSchema = z.looseObject({ step: z.int().min(1) });

/** The step of the last whole line of a metrics.jsonl. */
async function lastStep(path: string, otherwise: number): Promise<number> {
  const lines = (await readTail(path, METRICS_TAIL_BYTES)).split('\n').slice(0, -1);
  try {
    return stepSchema.parse(JSON.parse(lines.at(-1) ?? '')).step;
  } catch {
    // There is no whole line yet, or it was changed: then this is all that is known.
    return otherwise;
  }
}

/** The last `bytes` bytes of a file, or all of it; nothing where there is none. */
async function readTail(path: string, bytes: number): Promise<string> {
  try {
    const { handle, size } = await openEntry(path);
    try {
      const length = Math.min(bytes, size);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `metrics.jsonl cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

const evaluationSchema = z.object({ samples: z.int().min(1), correct: z.int().min(0), loss: z.number() });

function lastEvaluation(events: readonly RecordedEvent[]): RunOverview['test'] {
  const event = events.findLast((each) => each.event === 'evaluation');
  const { data } = evaluationSchema.safeParse(event);
  return data === undefined ? undefined : { accuracy: data.correct / data.samples, loss: data.loss };
}

/** From each start of a coordinator to the last event before the next one; `now` where the last one is still at work. */
function secondsAtWork(events: readonly RecordedEvent[], record: RunRecord, now: number | undefined): number {
  const starts = [...events.keys()].filter((index) => events[index]?.event === 'start');
  const spans = starts.map((start, i) =>
    secondsBetween(events[start], events[(starts[i + 1] ?? events.length) - 1]),
  );
  const last = Date.parse(events.at(-1)?.time ?? record.started);
  const sinceLast = now === undefined || starts.length === 0 ? 0 : Math.max(0, now - last) / 1000;
  return spans.reduce((sum, span) => sum + span, sinceLast);
}

/** Of one coordinator's events, by its own clock where they say it: the clock on the wall may have been set meanwhile. */
function secondsBetween(first: RecordedEvent | undefined, last: RecordedEvent | undefined): number {
  if (first === undefined || last === undefined) return 0;
  if (first.elapsed !== undefined && last.elapsed !== undefined)
    return Math.max(0, last.elapsed - first.elapsed);
  return Math.max(0, Date.parse(last.time) - Date.parse(first.time)) / 1000;
}

const workerSchema = z.object({ worker: z.string() });

function countWorkers(events: readonly RecordedEvent[], record: RunRecord): number {
  const names = new Set(record.workers.filter(({ samples }) => samples > 0).map(({ name }) => name));
  for (const event of events) {
    const { data } = workerSchema.safeParse(event.event === 'first_shard' ? event : undefined);
    if (data !== undefined) names.add(data.worker);
  }
  return names.size;
}

const readySchema = z.object({ engine: z.string() });

function engineOf(events: readonly RecordedEvent[]): string | undefined {
  return readySchema.safeParse(events.findLast(({ event }) => event === 'ready')).data?.engine;
}
