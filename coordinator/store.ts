import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { diskError, writeWhole } from '../data/whole-file.ts';
import { assert, type ClusterError } from '../shared/errors.ts';
import { MetricsFormatter, type EvaluationMetrics, type StepMetrics } from '../shared/metrics.ts';
import { encodeModel, type ModelFile } from '../shared/model-file.ts';
import { runRecordSchema, type RunRecord, type RunStatus } from '../shared/run-schema.ts';
import { AppendFile } from './append-file.ts';
import { createRunDirectory } from './run-directory.ts';

export interface StoreOptions {
  /** The folder of all runs. */
  readonly runs: string;
  /** Without one, the run is called after the time. */
  readonly runId?: string | undefined;
  /** Told at once, and once per file, of lines that cannot be written. */
  readonly onError: (error: ClusterError) => void;
  readonly clock?: () => Date;
}

/**
 * The run directory and all that is written to it: run.json and model.safetensors whole or not at all, metrics.jsonl
 * and events.jsonl line by line. Every method that writes rejects (or calls `onError`) with DISK, naming the file.
 */
export class RunStore {
  readonly id: string;
  readonly path: string;
  readonly #metrics: AppendFile;
  readonly #events: number;
  readonly #onError: (error: ClusterError) => void;
  readonly #clock: () => Date;
  readonly #formatter = new MetricsFormatter();
  /** The files written whole, one after the other, so that the last call's bytes stay. */
  #whole: Promise<void> = Promise.resolve();
  #state: RunStatus = 'running';
  #eventsFailed = false;
  #closed = false;

  private constructor(
    directory: { id: string; path: string },
    metrics: AppendFile,
    events: number,
    options: StoreOptions,
  ) {
    this.id = directory.id;
    this.path = directory.path;
    this.#metrics = metrics;
    this.#events = events;
    this.#onError = options.onError;
    this.#clock = options.clock ?? (() => new Date());
  }

  /** Makes a new run's directory. Rejects with USAGE, RUN_EXISTS or DISK. */
  static async open(options: StoreOptions): Promise<RunStore> {
    const now = (options.clock ?? (() => new Date()))();
    const directory = await createRunDirectory(options.runs, options.runId, now);
    const metrics = await AppendFile.open(join(directory.path, 'metrics.jsonl'), options.onError);
    return new RunStore(directory, metrics, openEvents(join(directory.path, 'events.jsonl')), options);
  }

  /** Rewrites run.json. Only a running run may change its state. */
  async writeRun(record: RunRecord): Promise<void> {
    const before = this.#state;
    assert(
      before === 'running' || before === record.state,
      `a run that is ${before} does not become ${record.state}`,
    );
    this.#state = record.state;
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

function openEvents(path: string): number {
  try {
    return openSync(path, 'a');
  } catch (error) {
    throw diskError(path, error);
  }
}
