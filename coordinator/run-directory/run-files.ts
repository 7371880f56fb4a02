import { basename, join } from 'node:path';
import { RENEW_MILLISECONDS } from '../../bin/owner.mjs';
import type { Disk } from '../../shared/disk/disk.ts';
import { diskError, makeOwnFolder, syncNames, writeWhole } from '../../shared/disk/whole-file.ts';
import type { Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { configurationOfRecord } from '../../shared/configuration.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { MAX_EVENTS_BUFFER_BYTES, MAX_METRICS_BUFFER_BYTES } from '../../shared/limits.ts';
import {
  FIRST_LINE,
  MetricsFormatter,
  type EvaluationMetrics,
  type LinePosition,
  type StepMetrics,
} from '../../shared/files/metrics.ts';
import { encodeModel, type ModelFile } from '../../shared/files/model-file.ts';
import { modelDigest } from '../../shared/files/own-model.ts';
import { printableJson } from '../../shared/printable.ts';
import { runRecordSchema, type RunRecord, type RunStatus } from '../../shared/files/run-schema.ts';
import { AppendFile } from './append-file.ts';
import { Checkpoints } from './checkpoints.ts';
import { checkPlacesOfResults, forgetArtifacts } from './result-files.ts';
import {
  endOf,
  piecesOf,
  readEvents,
  readLines,
  readRunRecord,
  type RecordedLines,
} from './read-run.ts';
import { checkUnbegun, createRunDirectory } from './run-directory.ts';
import { RunLock, type LockEnvironment } from './run-lock.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  METRICS_FILE,
  MODEL_FILE,
  RECORD_FILE,
} from '../../shared/files/run-layout.ts';

export interface RunFilesOptions extends LockEnvironment {
  /**
   * Told at once of lines that cannot be written, once per file, and of another coordinator that
   * has taken the run over.
   */
  readonly onError: (error: ClusterError) => void;
  /** Told that the disk is full and lines wait, and that it no longer is. */
  readonly onSpace: (isFull: boolean, message: string) => void;
  /** How many checkpoints stay. */
  readonly keep: number;
}

export interface CreateOptions extends RunFilesOptions {
  /** The folder of all runs. */
  readonly runs: string;
  /** Without one, the run is called after the time. */
  readonly runId?: string | undefined;
}

export interface ResumeOptions extends RunFilesOptions {
  readonly directory: string;
  /** Take the lock although it is another host's. */
  readonly takeOver: boolean;
  /** Told of each checkpoint that is passed over. */
  readonly damaged: (error: ClusterError) => void;
  /** Says which of its lines stay. Throws where it may not go on: then nothing has been written. */
  readonly judge: (found: FoundRun) => RecordedLines;
}

/** What a run has left, and the newest of its checkpoints that is intact. */
export interface FoundRun {
  readonly record: RunRecord;
  readonly checkpoint: Checkpoint | undefined;
  readonly written: RecordedLines;
}

/** A run that is open again, from its checkpoint on. */
export interface ReopenedRun extends Omit<FoundRun, 'written'> {
  readonly files: RunFiles;
  readonly lines: RecordedLines;
  /** The end of events.jsonl. */
  readonly events: string;
}

/**
 * The run directory and all that is written to it: run.json, model.safetensors and checkpoints
 * whole or not at all, metrics.jsonl and events.jsonl line by line. Every method that writes
 * rejects (or calls `onError`) with DISK, naming the file, or with LOCKED when another coordinator
 * has taken the run over, or with DISK when the run's folder is gone: then nothing is written.
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
  /** By the clock that never goes back. */
  readonly #opened: number;
  readonly #formatter: MetricsFormatter;
  /** Of metrics.jsonl, with what waits to be written. */
  #lineBytes: number;
  /** Where the lines end whose steps were done, while those after it are computed again. */
  #passed: LinePosition | undefined;
  /** The files written whole, one after the other, so that the last call's bytes stay. */
  #whole: Promise<void> = Promise.resolve();
  #state: RunStatus = 'running';
  #closed = false;

  private constructor(path: string, lock: RunLock, files: OpenFiles, options: RunFilesOptions) {
    const { keep, disk } = options;
    this.id = basename(path);
    this.path = path;
    this.#lock = lock;
    this.#staging = files.staging;
    this.#checkpoints = new Checkpoints(path, files.staging, keep, disk);
    this.#metrics = files.metrics;
    this.#events = files.events;
    this.#formatter = new MetricsFormatter(files.end.digest);
    this.#lineBytes = files.end.bytes;
    this.#options = options;
    this.#opened = options.clock.now();
    this.#checkLater();
  }

  /** Makes a new run's directory. Rejects with USAGE, RUN_EXISTS, LOCKED or DISK. */
  static async create(options: CreateOptions): Promise<RunFiles> {
    const { disk, clock } = options;
    const now = clock.date();
    const { path } = await createRunDirectory(options.runs, options.runId, now, disk);
    const lock = await RunLock.take(path, false, options);
    const { staging } = lock;
    return await releasedOnError(lock, async () => {
      await lock.putUpFence();
      // Whoever had the lock before may have begun.
      await checkUnbegun(path, disk);
      await makeOwnFolder(join(path, ARTIFACTS_FOLDER), disk);
      await checkPlacesOfResults(path, disk);
      const old = { staging, metrics: undefined, events: undefined };
      return new RunFiles(path, lock, await openFiles(path, old, options, false), options);
    });
  }

  /**
   * Opens the directory of a run that goes on, and what it holds: a line that a crash has torn is
   * cut off. Rejects with LOCKED, DATA where a file is not what was written, DISK, or what `judge`
   * throws.
   */
  static async resume(options: ResumeOptions): Promise<ReopenedRun> {
    const { directory, takeOver, disk, keep, damaged, judge } = options;
    const lock = await RunLock.take(directory, takeOver, options);
    const { staging } = lock;
    return await releasedOnError(lock, async () => {
      await lock.putUpFence();
      // From here on nobody else changes what is read; and what follows from it holds after a power
      // cut, too.
      await syncNames(directory, true, disk);
      const record = await readRunRecord(directory, disk);
      await checkPlacesOfResults(directory, disk);
      const configuration = configurationOfRecord(record.configuration);
      const checkpoints = new Checkpoints(directory, staging, keep, disk);
      const checkpoint = await checkpoints.newest(configuration, damaged);
      const written = await readLines(directory, checkpoint, disk);
      const lines = judge({ record, checkpoint, written });
      const events = await readEvents(directory, disk);
      const old = { staging, metrics: endOf(lines), events: events?.bytes };
      const opened = await openFiles(directory, old, options, takeOver);
      const files = new RunFiles(directory, lock, opened, options);
      // Its next lines are those after the checkpoint, as long as there are some.
      if (lines.later.length > 0) files.passed(lines.known?.end ?? FIRST_LINE);
      return { files, record, checkpoint, lines, events: events?.tail ?? '' };
    });
  }

  /** Whether the disk is full and lines wait for space. */
  get isFull(): boolean {
    return this.#metrics.isFull || this.#events.isFull;
  }

  /**
   * Writes a checkpoint, after all lines of the steps before it, and says how many bytes it has.
   */
  async writeCheckpoint(checkpoint: Omit<Checkpoint, 'lines'>): Promise<number> {
    // As it is now: while it is written, lines of later steps are added.
    const lines = this.#passed ?? { bytes: this.#lineBytes, digest: this.#formatter.digest };
    await this.#metrics.sync();
    return await this.#unlessSuperseded(() => this.#checkpoints.write({ ...checkpoint, lines }));
  }

  /** Bytes of lines that wait to be written. */
  get waitingBytes(): number {
    return this.#metrics.waitingBytes + this.#events.waitingBytes;
  }

  /** Rewrites run.json. Only a running run may change its state. */
  async writeRun(record: RunRecord): Promise<void> {
    const before = this.#state;
    assert(
      before === 'running' || before === record.state,
      `a run that is ${before} does not become ${record.state}`,
    );
    this.#state = record.state;
    return this.#writeWhole(
      RECORD_FILE,
      `${printableJson(JSON.stringify(runRecordSchema.parse(record), null, 2))}\n`,
    );
  }

  /** The bytes of metrics.jsonl up to there, piece by piece. */
  pastLines(end: LinePosition): AsyncGenerator<Uint8Array> {
    return piecesOf(join(this.path, METRICS_FILE), this.#options.disk, 0, end.bytes);
  }

  /** Adds a step's line to metrics.jsonl; takes microseconds, the disk comes later. */
  step(metrics: StepMetrics): void {
    this.#line(this.#formatter.step(metrics));
  }

  evaluation(metrics: EvaluationMetrics): void {
    this.#line(this.#formatter.evaluation(metrics));
  }

  /** What was computed again is in metrics.jsonl up to there: the next checkpoint says so. */
  passed(end: LinePosition): void {
    this.#passed = end;
  }

  #line(line: string): void {
    this.#metrics.append(line);
    // It is ASCII.
    this.#lineBytes += line.length;
    this.#passed = undefined;
  }

  /**
   * Adds a line to events.jsonl before it returns, unless the disk is full. `time` is what the
   * clock on the wall said; `elapsed`, the seconds since this coordinator opened the run, is what
   * durations are computed from.
   */
  event(event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const { clock } = this.#options;
    const elapsed = Math.round(clock.now() - this.#opened) / 1000;
    const line = { time: clock.date().toISOString(), elapsed, event, ...fields };
    this.#events.appendNow(`${printableJson(JSON.stringify(line))}\n`);
  }

  /** Says the SHA-256 of the file. */
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
  forgetArtifacts(): Promise<void> {
    return forgetArtifacts(this.path, this.#staging, this.#options.disk);
  }

  /** Resolves when all lines so far are on the disk. */
  async syncLines(): Promise<void> {
    await this.#metrics.sync();
    await this.#events.sync();
  }

  /**
   * Flushes, syncs and closes everything, even if one of the files fails; rejects with the first
   * failure.
   */
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
      this.#unlessSuperseded(() => writeWhole(path, data, this.#options.disk, this.#staging)),
    );
    // The caller hears of a failure; the next file is written all the same.
    this.#whole = written.catch(() => undefined);
    return written;
  }

  /** A write that fails because the run is no longer this coordinator's is no fault of the disk. */
  async #unlessSuperseded<T>(write: () => Promise<T>): Promise<T> {
    try {
      return await write();
    } catch (error) {
      throw (await lossOf(this.#lock)) ?? error;
    }
  }

  /** The fence keeps who was superseded from writing; this keeps it from holding workers, too. */
  #checkLater(): void {
    this.#options.clock.after(RENEW_MILLISECONDS, () => void this.#check());
  }

  async #check(): Promise<void> {
    if (this.#closed) return;
    // A renewal that fails, on a full disk for instance, only leaves others in doubt.
    await this.#lock.renew().catch(() => undefined);
    const loss = await lossOf(this.#lock);
    if (this.#closed) return;
    if (loss === undefined) this.#checkLater();
    else this.#options.onError(loss);
  }
}

/**
 * Why the run is no longer this coordinator's; undefined where it is, or where that cannot be seen
 * now.
 */
async function lossOf(lock: RunLock): Promise<ClusterError | undefined> {
  const status = await lock.status().catch(() => 'held' as const);
  return status === 'held' ? undefined : lock.lost(status);
}

/**
 * How much of a run's files stays, undefined where nothing is there, and where the next coordinator
 * writes.
 */
interface OldFiles {
  readonly staging: string;
  readonly metrics: LinePosition | undefined;
  readonly events: number | undefined;
}

interface OpenFiles {
  readonly staging: string;
  readonly metrics: AppendFile;
  readonly events: AppendFile;
  /** Where the lines of metrics.jsonl end. */
  readonly end: LinePosition;
}

/**
 * Opens the files of lines, each cut off after its last whole line. A coordinator from which the
 * run was taken over may only have been stopped, and has them open: then the lines are copied to
 * new files, and it writes to files without a name.
 */
async function openFiles(
  path: string,
  old: OldFiles,
  options: RunFilesOptions,
  takeOver: boolean,
): Promise<OpenFiles> {
  const { staging } = old;
  const { disk } = options;
  const open = async (name: string, bytes: number | undefined, maxBufferBytes: number) => {
    const file = join(path, name);
    if (bytes === undefined) await writeWhole(file, '', disk, staging);
    else if (takeOver) await writeWhole(file, piecesOf(file, disk, 0, bytes), disk, staging);
    else await cutOff(file, bytes, disk);
    return await AppendFile.open(file, { ...options, maxBufferBytes });
  };
  const metrics = await open(METRICS_FILE, old.metrics?.bytes, MAX_METRICS_BUFFER_BYTES);
  const events = await open(EVENTS_FILE, old.events, MAX_EVENTS_BUFFER_BYTES);
  return { staging, metrics, events, end: old.metrics ?? FIRST_LINE };
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
    // Why the run cannot go on is what there is to tell.
    await lock.release().catch(() => undefined);
    throw error;
  }
}
