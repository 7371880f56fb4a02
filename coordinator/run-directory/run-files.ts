import { basename, join, resolve } from 'node:path';
import { RENEW_MILLISECONDS } from '../../bin/owner.mjs';
import type { Disk } from '../../shared/disk/disk.ts';
import { diskError, makeOwnFolder, syncNames, writeWhole } from '../../shared/disk/whole-file.ts';
import type { Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { configurationOfRecord, type Configuration } from '../../shared/configuration.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { MAX_EVENTS_BUFFER_BYTES, MAX_METRICS_BUFFER_BYTES } from '../../shared/limits.ts';
import {
  FIRST_LINE,
  MetricsFormatter,
  type EvaluationMetrics,
  type LinePosition,
  type StepMetrics,
} from '../../shared/files/metrics.ts';
import { linesWithin } from '../../shared/files/line-limit.ts';
import { encodeInit } from '../../shared/files/init-file.ts';
import { encodeModel, type ModelFile } from '../../shared/files/model-file.ts';
import { modelDigest } from '../../shared/files/own-model.ts';
import { printableJson } from '../../shared/printable.ts';
import { runRecordSchema, type RunRecord, type RunStatus } from '../../shared/files/run-schema.ts';
import { AppendFile } from './append-file.ts';
import { Checkpoints } from './checkpoints.ts';
import { checkResultPaths, removeArtifacts } from './result-files.ts';
import {
  endOf,
  piecesOf,
  readEvents,
  readLines,
  readRunRecord,
  type RecordedLines,
} from './read-run.ts';
import { checkNotStarted, createRunDirectory, type RunDirectory } from './run-directory.ts';
import { RunLock, type LockEnvironment } from './run-lock.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  INIT_FILE,
  METRICS_FILE,
  MODEL_FILE,
  RECORD_FILE,
  RUN_ID,
} from '../../shared/files/run-layout.ts';

export interface RunFilesOptions extends LockEnvironment {
  /** Called when lines can no longer be written, or another coordinator has taken over the run. */
  readonly onError: (error: ClusterError) => void;
  /** Called when the disk becomes full, and when it has space again. */
  readonly onSpace: (isFull: boolean, message: string) => void;
  /** The number of checkpoints to keep. */
  readonly keepCheckpoints: number;
}

export interface CreateOptions extends RunFilesOptions {
  /** The folder that contains all runs. */
  readonly runs: string;
  /** By default, the time and a random suffix. */
  readonly runId?: string | undefined;
}

export interface ResumeOptions extends RunFilesOptions {
  readonly directory: string;
  /** Take the lock even if another host holds it. */
  readonly takeOver: boolean;
  /** Called for each damaged checkpoint, which is skipped. */
  readonly damaged: (error: ClusterError) => void;
  /**
   * Chooses the lines to keep. Throws, before anything is written, if the run must not be changed.
   */
  readonly selectLines: (found: FoundRun) => RecordedLines;
}

/** The contents of a run directory: the record, the newest intact checkpoint and the lines. */
export interface FoundRun {
  readonly record: RunRecord;
  readonly checkpoint: Checkpoint | undefined;
  readonly written: RecordedLines;
}

/** A run that was reopened at its newest intact checkpoint. */
export interface ReopenedRun extends Omit<FoundRun, 'written'> {
  readonly files: RunFiles;
  readonly lines: RecordedLines;
  /** The last lines of events.jsonl. */
  readonly events: string;
}

/**
 * Does all writing to a run directory. It writes run.json, model.safetensors and checkpoints whole
 * or not at all, and metrics.jsonl and events.jsonl line by line. Every method that writes rejects
 * (or calls `onError`) with DISK, naming the file or the missing folder, or with LOCKED when
 * another coordinator has taken over the run.
 */
export class RunFiles {
  readonly id: string;
  readonly path: string;
  readonly #lock: RunLock;
  readonly #staging: string;
  readonly #checkpoints: Checkpoints;
  readonly #metrics: AppendFile;
  readonly #events: AppendFile;
  readonly #options: RunFilesOptions;
  /** When this coordinator opened the run, by the monotonic clock. */
  readonly #opened: number;
  readonly #formatter: MetricsFormatter;
  /** The size of metrics.jsonl, including buffered lines. */
  #lineBytes: number;
  /** The end of the last replayed line, while recorded steps are recomputed. */
  #passed: LinePosition | undefined;
  /** Whole files are written one after the other, so that the last call wins. */
  #whole: Promise<void> = Promise.resolve();
  #state: RunStatus = 'running';
  #closed = false;

  private constructor(
    { id, path }: RunDirectory,
    lock: RunLock,
    files: OpenFiles,
    options: RunFilesOptions,
  ) {
    this.id = id;
    this.path = path;
    this.#lock = lock;
    this.#staging = files.staging;
    this.#checkpoints = files.checkpoints;
    this.#metrics = files.metrics;
    this.#events = files.events;
    this.#formatter = new MetricsFormatter(files.end.digest);
    this.#lineBytes = files.end.bytes;
    this.#options = options;
    this.#opened = options.clock.now();
    this.#checkLater();
  }

  /** Creates a new run's directory. Rejects with USAGE, RUN_EXISTS, LOCKED or DISK. */
  static async create(options: CreateOptions): Promise<RunFiles> {
    const { disk, clock, keepCheckpoints } = options;
    const now = clock.date();
    const directory = await createRunDirectory(options.runs, options.runId, now, disk);
    const { path } = directory;
    const lock = await RunLock.take(path, false, options);
    const { staging } = lock;
    return await releasedOnError(lock, async () => {
      await lock.removeOlderStaging();
      // The previous owner of the lock may have started the run.
      await checkNotStarted(path, disk);
      await makeOwnFolder(join(path, ARTIFACTS_FOLDER), disk);
      await checkResultPaths(path, disk);
      const checkpoints = new Checkpoints(path, staging, keepCheckpoints, disk);
      const old = { staging, checkpoints, metrics: undefined, events: undefined };
      return new RunFiles(directory, lock, await openFiles(path, old, options, false), options);
    });
  }

  /**
   * Opens the directory of a run to resume it. A torn last line is cut off. Rejects with LOCKED,
   * with DATA if a file is damaged, with DISK, or with the error that `selectLines` throws.
   */
  static async resume(options: ResumeOptions): Promise<ReopenedRun> {
    const { directory, takeOver, disk, keepCheckpoints, damaged, selectLines } = options;
    const lock = await RunLock.take(directory, takeOver, options);
    const { staging } = lock;
    return await releasedOnError(lock, async () => {
      await lock.removeOlderStaging();
      // No other coordinator can write any more. The names found are synced, so that everything
      // that depends on them survives a power cut as well.
      await syncNames(directory, true, disk);
      const record = await readRunRecord(directory, disk);
      await checkResultPaths(directory, disk);
      const configuration = configurationOfRecord(record.configuration);
      const checkpoints = new Checkpoints(directory, staging, keepCheckpoints, disk);
      const checkpoint = await checkpoints.newest(configuration, damaged);
      const written = await readLines(directory, checkpoint, disk);
      const lines = selectLines({ record, checkpoint, written });
      const events = await readEvents(directory, disk);
      const old = { staging, checkpoints, metrics: endOf(lines), events: events?.bytes };
      const opened = await openFiles(directory, old, options, takeOver);
      const named = { id: idOf(directory, record), path: directory };
      const files = new RunFiles(named, lock, opened, options);
      // The recorded lines after the checkpoint are recomputed next.
      if (lines.later.length > 0) files.passed(lines.covered?.end ?? FIRST_LINE);
      return { files, record, checkpoint, lines, events: events?.tail ?? '' };
    });
  }

  /** Whether the disk is full and lines are waiting for space. */
  get isFull(): boolean {
    return this.#metrics.isFull || this.#events.isFull;
  }

  /**
   * Writes a checkpoint, after the lines of all its steps. Resolves with its size in bytes. The
   * checkpoint of the step `spared` is not removed.
   */
  async writeCheckpoint(checkpoint: Omit<Checkpoint, 'lines'>, spared?: number): Promise<number> {
    // Read before the first await: lines of later steps are added while the checkpoint is being
    // written.
    const lines = this.#passed ?? { bytes: this.#lineBytes, digest: this.#formatter.digest };
    await this.#metrics.sync();
    return await this.#unlessTakenOver(() =>
      this.#checkpoints.write({ ...checkpoint, lines }, spared),
    );
  }

  /** See Checkpoints. */
  weightsAt(step: number, configuration: Configuration): Promise<Float32Array> {
    return this.#checkpoints.weightsAt(step, configuration);
  }

  /** The size of the buffered lines, in bytes. */
  get waitingBytes(): number {
    return this.#metrics.waitingBytes + this.#events.waitingBytes;
  }

  /** Rewrites run.json. Only a run in the state `running` may change its state. */
  async writeRun(record: RunRecord): Promise<void> {
    const before = this.#state;
    assert(
      before === 'running' || before === record.state,
      `a ${before} run does not become ${record.state}`,
    );
    this.#state = record.state;
    return this.#writeWhole(
      RECORD_FILE,
      `${printableJson(JSON.stringify(runRecordSchema.parse(record), null, 2))}\n`,
    );
  }

  /** The bytes of metrics.jsonl up to `end`, piece by piece. */
  pastLines(end: LinePosition): AsyncGenerator<Uint8Array> {
    return piecesOf(join(this.path, METRICS_FILE), this.#options.disk, 0, end.bytes);
  }

  /** Adds a step's line to metrics.jsonl. Takes microseconds: the line is written later. */
  step(metrics: StepMetrics): void {
    this.#line(this.#formatter.step(metrics));
  }

  evaluation(metrics: EvaluationMetrics): void {
    this.#line(this.#formatter.evaluation(metrics));
  }

  /**
   * Called when recorded steps have been recomputed up to `end`, which the next checkpoint records.
   */
  passed(end: LinePosition): void {
    this.#passed = end;
  }

  #line(line: string): void {
    this.#metrics.append(line);
    // The line is ASCII, so its length is its size in bytes.
    this.#lineBytes += line.length;
    this.#passed = undefined;
  }

  /**
   * Writes a line to events.jsonl before it returns, unless the disk is full. `time` is the time of
   * day; compute durations from `elapsed`, the seconds since this coordinator opened the run.
   */
  event(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const { clock } = this.#options;
    const elapsed = Math.round(clock.now() - this.#opened) / 1000;
    const line = { time: clock.date().toISOString(), elapsed, event, ...fields };
    this.#events.appendNow(`${printableJson(JSON.stringify(line))}\n`);
  }

  /** Writes init.safetensors, before the first run.json, so that every run has it. */
  async writeInit(model: ModelShape, weights: Float32Array): Promise<void> {
    await this.#writeWhole(INIT_FILE, encodeInit(model, weights));
  }

  /** Writes model.safetensors. Resolves with its SHA-256. */
  async writeModel(model: ModelFile): Promise<string> {
    const bytes = encodeModel(model);
    await this.#writeWhole(MODEL_FILE, bytes);
    return modelDigest(bytes);
  }

  /** Writes artifacts/`name`. */
  writeArtifact(name: string, data: string | Uint8Array): Promise<void> {
    return this.#writeWhole(join(ARTIFACTS_FOLDER, name), data);
  }

  /** See result-files.ts. */
  removeArtifacts(): Promise<void> {
    return removeArtifacts(this.path, this.#staging, this.#options.disk);
  }

  /** Resolves when all lines so far are synced. */
  async syncLines(): Promise<void> {
    await this.#metrics.sync();
    await this.#events.sync();
  }

  /** Writes, syncs and closes all files and the lock. Rejects with the first failure. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#whole;
    const closing = [
      () => this.#metrics.close(),
      () => this.#events.close(),
      () => this.#lock.release(),
    ];
    const failures: unknown[] = [];
    for (const close of closing) await close().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }

  #writeWhole(name: string, data: string | Uint8Array): Promise<void> {
    assert(!this.#closed, 'the run is open');
    const path = join(this.path, name);
    const written = this.#whole.then(() =>
      this.#unlessTakenOver(() => writeWhole(path, data, this.#options.disk, this.#staging)),
    );
    // The caller gets the failure; the next file is still written.
    this.#whole = written.catch(() => undefined);
    return written;
  }

  /**
   * If this coordinator has lost the run, replaces a write error with the reason: LOCKED if another
   * coordinator took over, DISK if the directory is gone.
   */
  async #unlessTakenOver<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      throw (await lossOf(this.#lock)) ?? error;
    }
  }

  /**
   * A coordinator that was taken over cannot write. This check makes it release its workers as
   * well.
   */
  #checkLater(): void {
    this.#options.clock.after(RENEW_MILLISECONDS, () => void this.#check());
  }

  async #check(): Promise<void> {
    if (this.#closed) return;
    // A renewal may fail on a full disk. Other hosts then cannot tell whether this coordinator is
    // still running.
    await this.#lock.renew().catch(() => undefined);
    const loss = await lossOf(this.#lock);
    if (this.#closed) return;
    if (loss === undefined) this.#checkLater();
    else this.#options.onError(loss);
  }
}

/** The folder's name, or the recorded id if that name cannot be an id. */
function idOf(directory: string, { run }: RunRecord): string {
  const name = basename(resolve(directory));
  return RUN_ID.test(name) ? name : run;
}

/** Why this coordinator has lost the run; undefined if it has not, or if that is unknown. */
async function lossOf(lock: RunLock): Promise<ClusterError | undefined> {
  const status = await lock.status().catch(() => 'held' as const);
  return status === 'held' ? undefined : lock.lost(status);
}

/** How much of a run's files to keep; undefined for a file that does not exist. */
interface OldFiles {
  readonly staging: string;
  readonly checkpoints: Checkpoints;
  readonly metrics: LinePosition | undefined;
  readonly events: number | undefined;
}

interface OpenFiles {
  readonly staging: string;
  readonly checkpoints: Checkpoints;
  readonly metrics: AppendFile;
  readonly events: AppendFile;
  /** Where the lines of metrics.jsonl end. */
  readonly end: LinePosition;
}

/**
 * Opens metrics.jsonl and events.jsonl, cut off after the last line to keep. A coordinator that was
 * taken over may be suspended with these files open. On a takeover, the lines are therefore copied
 * to new files, and the old coordinator can only write to files that no longer have a name.
 */
async function openFiles(
  path: string,
  old: OldFiles,
  options: RunFilesOptions,
  takeOver: boolean,
): Promise<OpenFiles> {
  const { staging, checkpoints } = old;
  const { disk } = options;
  const linesOf = (file: string, bytes: number) =>
    linesWithin(piecesOf(file, disk, 0, bytes), file);
  const open = async (name: string, bytes: number | undefined, maxBufferBytes: number) => {
    const file = join(path, name);
    if (bytes === undefined) await writeWhole(file, '', disk, staging);
    else if (takeOver) await writeWhole(file, linesOf(file, bytes), disk, staging);
    else await cutOff(file, bytes, disk);
    return await AppendFile.open(file, { ...options, maxBufferBytes });
  };
  const metrics = await open(METRICS_FILE, old.metrics?.bytes, MAX_METRICS_BUFFER_BYTES);
  const events = await open(EVENTS_FILE, old.events, MAX_EVENTS_BUFFER_BYTES);
  return { staging, checkpoints, metrics, events, end: old.metrics ?? FIRST_LINE };
}

async function cutOff(path: string, bytes: number, disk: Disk): Promise<void> {
  try {
    if ((await disk.size(path)) > bytes) await disk.cut(path, bytes);
  } catch (error) {
    throw diskError(path, error);
  }
}

async function releasedOnError<T>(lock: RunLock, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    const loss = await lossOf(lock);
    if (loss !== undefined) throw loss;
    // The first error is the one to report.
    await lock.release().catch(() => undefined);
    throw error;
  }
}
