import { readdirSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import {
  silentViewer,
  type OpenReport,
  type RunViewer,
  type StepReport,
} from '../../coordinator/viewer.ts';
import { learningRateOf } from '../../shared/arithmetic/learning-rate.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { readEntry } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { messageOf } from '../../shared/errors.ts';
import { EventRecords, type EventTime, type PngImage } from '../../shared/files/event-records.ts';
import { ARTIFACTS_FOLDER } from '../../shared/files/run-layout.ts';
import {
  EVENT_CLOSE_MILLISECONDS,
  MAX_EVENT_PICTURE_BYTES,
  MAX_EVENT_QUEUE_BYTES,
  RECALLED_EVENTS,
} from '../../shared/limits/tracker.ts';
import { pastLines, type PastLine } from '../feed/past-lines.ts';
import { EventFile } from './event-file.ts';
import {
  metricNames,
  OccasionalScalars,
  type EvaluationFacts,
  trackedSettings,
  type Tell,
  type Tracker,
} from './tracker.ts';

/** The folder in a run directory for event files. */
export const EVENTS_FOLDER = 'tensorboard';
/** The name of an event file: its time, host, process and term. */
const FILE_NAME = /^events\.out\.tfevents\.(\d{10,15})\.(?:.*\.(\d+)$)?/;

/** Pictures in artifacts/, and their tags. */
const pictures = [
  ['test/confusion_matrix', 'confusion_matrix.png'],
  ['test/mistakes', 'misclassified.png'],
] as const;

export interface TensorBoardOptions {
  /** The folder in which each run has a folder of its own; undefined for the run directory. */
  readonly folder: string | undefined;
  readonly configuration: Configuration;
  readonly tell: Tell;
  /** A monotonic clock in milliseconds. */
  readonly clock: () => number;
  /** The time of day in Unix milliseconds. */
  readonly date: () => number;
}

/** Writes a run to event files for TensorBoard, one for each coordinator. */
export class TensorBoardTracker implements Tracker {
  readonly name = 'TensorBoard';
  readonly viewer: RunViewer;
  readonly #options: TensorBoardOptions;
  readonly #records = new EventRecords();
  readonly #occasional: OccasionalScalars;
  #run: OpenReport | undefined;
  #file: EventFile | undefined;
  /** New records, while earlier steps are being read; undefined at all other times. */
  #held: Uint8Array[] | undefined;
  #heldBytes = 0;
  #recalling: Promise<void> | undefined;
  #step = 0;
  #outcome: Outcome | undefined;

  constructor(options: TensorBoardOptions) {
    this.#options = options;
    this.#occasional = new OccasionalScalars(options.clock, options.configuration);
    this.viewer = {
      ...silentViewer,
      opened: (report) => this.#opened(report),
      step: (report) => this.#stepped(report),
      evaluation: (report) => this.#append(this.#evaluationRecord(report)),
      // A resumed run continues from this step, whose records should then be there.
      checkpoint: () => void this.#file?.flush(),
      ended: (outcome) => {
        this.#outcome = outcome;
      },
    };
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    const end = this.#end(file).then(() => file.close());
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), EVENT_CLOSE_MILLISECONDS);
    });
    if ((await Promise.race([end, limit])) === 'late')
      this.#options.tell(
        'warn',
        `the event file in ${file.folder} may be incomplete: the disk has not answered for ` +
          `${EVENT_CLOSE_MILLISECONDS / 1000} s`,
      );
    clearTimeout(timer);
  }

  #opened(report: OpenReport): void {
    const { folder, configuration, tell } = this.#options;
    const { run, directory, term, step, past } = report;
    this.#run = report;
    this.#step = step;
    const own = folder === undefined ? join(directory, EVENTS_FOLDER) : join(folder, run);
    const nameAfter = (names: readonly string[]) => eventFileName(names, this.#seconds, term);
    // If the coordinator before this one was not tracked, its steps are in metrics.jsonl only.
    const isRecalled = past !== undefined && !wasTracked(own, term - 1);
    const file = new EventFile(own, { nameAfter, tell });
    const seconds = this.#seconds;
    file.append(this.#records.fileVersion(seconds));
    // In the first file, it only makes TensorBoard heed those in later files.
    file.append(this.#records.sessionStart({ seconds, step: isRecalled ? 1 : step + 1 }));
    const settings = trackedSettings(configuration);
    file.append(this.#records.hyperparameters({ seconds, step }, run, settings));
    void file.flush();
    this.#file = file;
    if (!isRecalled) return;
    this.#held = [];
    this.#recalling = this.#recall(file, past());
  }

  /** Writes the earlier steps of a run, and then the records that were held back. */
  async #recall(file: EventFile, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      let count = 0;
      for await (const line of pastLines(pieces)) {
        file.append(this.#pastRecord(line));
        count += 1;
        if (count % RECALLED_EVENTS === 0) await file.flush();
      }
    } catch (error) {
      const why = `its earlier steps could not be read (${messageOf(error)})`;
      this.#options.tell('warn', `the event file in ${file.folder} is incomplete: ${why}`);
    }
    await file.flush();
    for (const record of this.#held ?? []) file.append(record);
    this.#held = undefined;
  }

  /** The record of an earlier step, whose time of day is not known. */
  #pastRecord(line: PastLine): Uint8Array {
    const { step } = line;
    const time = { step, seconds: this.#seconds };
    if (line.kind === 'evaluation') return this.#evaluationRecord(line);
    return this.#records.scalars(time, [
      [metricNames.loss.train, line.loss],
      [metricNames.accuracy.train, line.correct / line.samples],
      [metricNames.learningRate, learningRateOf(this.#options.configuration, step)],
    ]);
  }

  #append(record: Uint8Array): void {
    if (this.#held === undefined) return this.#file?.append(record);
    // Only if the disk is slower than the training for a long time.
    if (this.#heldBytes + record.length > MAX_EVENT_QUEUE_BYTES / 2) return;
    this.#held.push(record);
    this.#heldBytes += record.length;
  }

  #stepped(report: StepReport): void {
    const { step, loss, correct, samples, learningRate } = report;
    this.#step = step;
    this.#append(
      this.#records.scalars({ step, seconds: this.#seconds }, [
        [metricNames.loss.train, loss],
        [metricNames.accuracy.train, correct / samples],
        [metricNames.learningRate, learningRate],
        ...this.#occasional.of(report),
      ]),
    );
  }

  #evaluationRecord({ set, step, loss, correct, samples }: EvaluationFacts): Uint8Array {
    return this.#records.scalars({ step, seconds: this.#seconds }, [
      [metricNames.loss[set], loss],
      [metricNames.accuracy[set], correct / samples],
    ]);
  }

  /** Appends the pictures of a finished run, and whether the run succeeded. */
  async #end(file: EventFile): Promise<void> {
    if (this.#run === undefined) return;
    await this.#recalling;
    const { directory } = this.#run;
    const state = this.#outcome?.state;
    const time: EventTime = { step: this.#step, seconds: this.#seconds };
    if (state === 'finished') {
      for (const [tag, name] of pictures) {
        const image = await this.#picture(join(directory, ARTIFACTS_FOLDER, name));
        if (image !== undefined) file.append(this.#records.image(time, tag, image));
      }
    }
    // TensorBoard keeps the first state, so an interrupted run, which may be resumed, has none.
    if (state === 'finished' || state === 'diverged')
      file.append(this.#records.hyperparametersEnd(time, state === 'finished'));
  }

  /** A picture; undefined if the run has none. */
  async #picture(path: string): Promise<PngImage | undefined> {
    const limit = { name: 'MAX_EVENT_PICTURE_BYTES', bytes: MAX_EVENT_PICTURE_BYTES };
    try {
      const png = await readEntry(path, limit);
      // The first chunk of a PNG begins with its width and height.
      return { png, width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
    } catch (error) {
      if (systemCode(error) !== 'ENOENT')
        this.#options.tell('warn', `a picture is missing in TensorBoard: ${messageOf(error)}`);
      return undefined;
    }
  }

  get #seconds(): number {
    return this.#options.date() / 1000;
  }
}

/** Whether the coordinator with this term wrote an event file to the folder. */
function wasTracked(folder: string, term: number): boolean {
  try {
    return readdirSync(folder).some((name) => FILE_NAME.exec(name)?.[2] === String(term));
  } catch {
    // Writing to the folder says what is wrong with it.
    return false;
  }
}

/**
 * The name of a file that TensorBoard reads after all files in its folder: by name, even if the
 * clock was set back.
 */
function eventFileName(names: readonly string[], seconds: number, term: number): string {
  const earlier = names.map((name) => Number(FILE_NAME.exec(name)?.[1] ?? 0));
  const time = Math.max(Math.floor(seconds), ...earlier.map((each) => each + 1));
  const host = hostname().replaceAll(/[^\w-]/g, '-');
  return `events.out.tfevents.${String(time).padStart(10, '0')}.${host}.${process.pid}.${term}`;
}
