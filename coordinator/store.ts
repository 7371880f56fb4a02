import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { diskError, writeWhole } from '../data/whole-file.ts';
import type { Checkpoint } from '../shared/checkpoint-file.ts';
import type { Configuration } from '../shared/configuration.ts';
import { assert, ClusterError } from '../shared/errors.ts';
import { MAX_EVENT_LINE_BYTES } from '../shared/limits.ts';
import {
  MetricsFormatter,
  type EvaluationMetrics,
  type MetricsLine,
  type StepMetrics,
} from '../shared/metrics.ts';
import { encodeModel, type ModelFile } from '../shared/model-file.ts';
import { runRecordSchema, type RunRecord, type RunStatus } from '../shared/run-schema.ts';
import { AppendFile } from './append-file.ts';
import { Checkpoints } from './checkpoints.ts';
import { readLines, readRunRecord } from './old-run.ts';
import { createRunDirectory } from './run-directory.ts';
import { RunLock } from './run-lock.ts';

export interface StoreOptions {
  /** Told at once, and once per file, of lines that cannot be written. */
  readonly onError: (error: ClusterError) => void;
  /** How many checkpoints stay. */
  readonly keep: number;
  readonly clock?: () => Date;
}

export interface NewRun extends StoreOptions {
  /** The folder of all runs. */
  readonly runs: string;
  /** Without one, the run is called after the time. */
  readonly runId?: string | undefined;
}

export interface OldRun extends StoreOptions {
  readonly directory: string;
  /** Take the lock although it is another host's. */
  readonly takeOver: boolean;
}

/**
 * The run directory and all that is written to it: run.json, model.safetensors and checkpoints whole or not at all,
 * metrics.jsonl and events.jsonl line by line. Every method that writes rejects (or calls `onError`) with DISK, naming the file.
 */
export class RunStore {
  readonly id: string;
  readonly path: string;
  readonly #lock: RunLock;
  readonly #checkpoints: Checkpoints;
  readonly #metrics: AppendFile;
  readonly #events: number;
  readonly #onError: (error: ClusterError) => void;
  readonly #clock: () => Date;
  readonly #formatter: MetricsFormatter;
  /** The files written whole, one after the other, so that the last call's bytes stay. */
  #whole: Promise<void> = Promise.resolve();
  #state: RunStatus = 'running';
  #term = 0;
  #eventsFailed = false;
  #closed = false;

  private constructor(path: string, lock: RunLock, files: OpenFiles, options: StoreOptions) {
    this.id = basename(path);
    this.path = path;
    this.#lock = lock;
    this.#checkpoints = new Checkpoints(path, options.keep);
    this.#metrics = files.metrics;
    this.#events = files.events;
    this.#formatter = new MetricsFormatter(files.lastDigest);
    this.#onError = options.onError;
    this.#clock = options.clock ?? (() => new Date());
  }

  /** Makes a new run's directory. Rejects with USAGE, RUN_EXISTS or DISK. */
  static async create(options: NewRun): Promise<RunStore> {
    const now = (options.clock ?? (() => new Date()))();
    const { path } = await createRunDirectory(options.runs, options.runId, now);
    const lock = await RunLock.take(path, false);
    return new RunStore(path, lock, await openFiles(path, undefined, options.onError), options);
  }

  /**
   * Opens the directory of a run that goes on, and what it holds: a line that a crash has torn is cut off. Rejects with LOCKED,
   * DATA where a file is not what was written, or DISK.
   */
  static async resume(
    options: OldRun,
  ): Promise<{ store: RunStore; record: RunRecord; lines: MetricsLine[] }> {
    const { directory, takeOver, onError } = options;
    const lock = await RunLock.take(directory, takeOver);
    try {
      const record = await readRunRecord(directory);
      const lines = await readLines(directory);
      const files = await openFiles(directory, lines.at(-1)?.digest, onError);
      return { store: new RunStore(directory, lock, files, options), record, lines };
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** The newest intact checkpoint; see checkpoints.ts. */
  newestCheckpoint(
    configuration: Configuration,
    damaged: (error: ClusterError) => void,
  ): Promise<Checkpoint | undefined> {
    return this.#checkpoints.newest(configuration, damaged);
  }

  /**
   * Writes a checkpoint, after all lines of the steps before it. Rejects with DISK, or with LOCKED when a newer coordinator
   * has taken the run over: then nothing is written.
   */
  async writeCheckpoint(checkpoint: Checkpoint): Promise<void> {
    await this.#metrics.sync();
    const { term } = await readRunRecord(this.path);
    if (term > this.#term)
      throw new ClusterError('LOCKED', `${this.path} was taken over by another coordinator (term ${term})`);
    await this.#checkpoints.write(checkpoint);
  }

  /** Rewrites run.json. Only a running run may change its state. */
  async writeRun(record: RunRecord): Promise<void> {
    const before = this.#state;
    assert(
      before === 'running' || before === record.state,
      `a run that is ${before} does not become ${record.state}`,
    );
    this.#state = record.state;
    this.#term = record.term;
    return this.#writeWhole('run.json', `${JSON.stringify(runRecordSchema.parse(record), null, 2)}\n`);
  }

  /** Adds a step's line to metrics.jsonl; takes microseconds, the disk comes later. */
  step(metrics: StepMetrics): void {
    this.#metrics.append(this.#formatter.step(metrics));
  }

  evaluation(metrics: EvaluationMetrics): void {
    this.#metrics.append(this.#formatter.evaluation(metrics));
  }

  /** Adds a line to events.jsonl before it returns. */
  event(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    assert(!this.#closed, 'the store is open');
    if (this.#eventsFailed) return;
    const line = Buffer.from(`${JSON.stringify({ time: this.#clock().toISOString(), event, ...fields })}\n`);
    try {
      let at = 0;
      while (at < line.length) at += writeSync(this.#events, line, at);
    } catch (error) {
      this.#eventsFailed = true;
      this.#onError(diskError(join(this.path, 'events.jsonl'), error));
    }
  }

  writeModel(model: ModelFile): Promise<void> {
    return this.#writeWhole('model.safetensors', encodeModel(model));
  }

  /** Writes artifacts/`name`. */
  writeArtifact(name: string, data: string | Uint8Array): Promise<void> {
    return this.#writeWhole(join('artifacts', name), data);
  }

  /** Resolves when all lines of metrics.jsonl so far are on the disk. */
  syncMetrics(): Promise<void> {
    return this.#metrics.sync();
  }

  /** Flushes, syncs and closes everything, even if one of the files fails; rejects with the first failure. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#whole;
    try {
      await this.#metrics.close();
    } finally {
      this.#closeEvents();
      await this.#lock.release();
    }
  }

  #writeWhole(name: string, data: string | Uint8Array): Promise<void> {
    assert(!this.#closed, 'the store is open');
    const written = this.#whole.then(() => writeWhole(join(this.path, name), data));
    // The caller hears of a failure; the next file is written all the same.
    this.#whole = written.catch(() => undefined);
    return written;
  }

  #closeEvents(): void {
    try {
      fsyncSync(this.#events);
      closeSync(this.#events);
    } catch (error) {
      throw diskError(join(this.path, 'events.jsonl'), error);
    }
  }
}

interface OpenFiles {
  readonly metrics: AppendFile;
  readonly events: number;
  readonly lastDigest: string | undefined;
}

async function openFiles(
  directory: string,
  lastDigest: string | undefined,
  onError: (error: ClusterError) => void,
): Promise<OpenFiles> {
  const metrics = await AppendFile.open(join(directory, 'metrics.jsonl'), onError);
  return { metrics, events: openEvents(join(directory, 'events.jsonl')), lastDigest };
}

/** Opens the file for lines at its end; a torn one is cut off. */
function openEvents(path: string): number {
  try {
    const events = openSync(path, 'a+');
    const { size } = fstatSync(events);
    const bytes = Buffer.alloc(Math.min(size, MAX_EVENT_LINE_BYTES));
    readSync(events, bytes, 0, bytes.length, size - bytes.length);
    ftruncateSync(events, size - bytes.length + bytes.lastIndexOf('\n') + 1);
    return events;
  } catch (error) {
    throw diskError(path, error);
  }
}
