import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { stepsPerEpoch } from '../../shared/arithmetic/schedule.ts';
import { modelText } from '../../shared/arithmetic/model-text.ts';
import { configurationOfRecord, type Configuration } from '../../shared/configuration.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import {
  BOARD_LOOK_BUDGET_MILLISECONDS,
  BOARD_LOOK_MILLISECONDS,
  BOARD_REREAD_MILLISECONDS,
  MAX_BOARD_RUNS,
} from '../../shared/limits/board.ts';
import { settingDifferences } from '../../shared/setting-differences.ts';
import type { BoardRun, BoardView } from './api.ts';
import { lookAt, type RunFiles } from './run-files.ts';

/** What the program reads from a run's record, events and lock. */
export interface RunReading {
  readonly record: RunRecord;
  readonly overview: Pick<
    BoardRun,
    'state' | 'started' | 'step' | 'steps' | 'evaluation' | 'seconds' | 'workers' | 'dataset'
  > & {
    readonly writer: string | undefined;
    readonly waited: number | undefined;
    readonly engine: string | undefined;
  };
}

/** Reads a run; `now` is Unix milliseconds. Rejects with a ClusterError if it cannot be read. */
export type ReadRun = (directory: string, name: string, now: number) => Promise<RunReading>;

/** A run on the board. */
export interface ListedRun {
  readonly name: string;
  readonly directory: string;
  readonly files: RunFiles;
  readonly record: RunRecord;
  readonly configuration: Configuration;
}

type Entry = Listed | Unlisted;
interface Listed {
  readonly kind: 'run';
  readonly readAt: number;
  readonly run: ListedRun;
  readonly reading: RunReading;
}
interface Unlisted {
  readonly kind: 'unlisted';
  readonly readAt: number;
  readonly reason: string;
}

/** The runs in a folder. Reads a run again only when its files change. */
export class RunsFolder {
  readonly #folder: string;
  readonly #read: ReadRun;
  #entries = new Map<string, Entry>();
  #view: Promise<BoardView> | undefined;
  #nextLook = 0;

  constructor(folder: string, read: ReadRun) {
    this.#folder = folder;
    this.#read = read;
  }

  /** The run in the subfolder with this name; undefined if the board does not have it. */
  run(name: string): ListedRun | undefined {
    const entry = this.#entries.get(name);
    return entry?.kind === 'run' ? entry.run : undefined;
  }

  /**
   * All runs, as they were at most about a second ago. Rejects with DATA if the folder cannot be
   * read.
   */
  view(): Promise<BoardView> {
    if (this.#view !== undefined && performance.now() < this.#nextLook) return this.#view;
    this.#nextLook = Infinity;
    const look = this.#look();
    this.#view = look;
    void look.then(
      ({ pending }) => this.#lookLater(pending > 0),
      () => this.#lookLater(false),
    );
    return look;
  }

  #lookLater(isUnfinished: boolean): void {
    this.#nextLook = performance.now() + (isUnfinished ? 0 : BOARD_LOOK_MILLISECONDS);
  }

  async #look(): Promise<BoardView> {
    const now = Date.now();
    const all = await this.#names();
    // Ids begin with a date, so these are the newest runs.
    const names = all.slice(-MAX_BOARD_RUNS);
    const before = this.#entries;
    this.#entries = new Map(
      names.flatMap((name) => {
        const entry = before.get(name);
        return entry === undefined ? [] : [[name, entry] as const];
      }),
    );
    await this.#refresh(names, now);
    return {
      ...this.#summary(),
      at: now,
      pending: names.length - this.#entries.size,
      omitted: all.length - names.length,
    };
  }

  async #refresh(names: readonly string[], now: number): Promise<void> {
    const deadline = performance.now() + BOARD_LOOK_BUDGET_MILLISECONDS;
    const readAt = (name: string) => this.#entries.get(name)?.readAt ?? 0;
    // The runs that were read longest ago come first, so that none waits forever.
    for (const name of names.toReversed().toSorted((a, b) => readAt(a) - readAt(b))) {
      const entry = await this.#entry(name, now);
      if (entry !== undefined) this.#entries.set(name, entry);
      if (performance.now() > deadline) return;
    }
  }

  /** The entry of a subfolder; undefined for the known entry, if it is still current. */
  async #entry(name: string, now: number): Promise<Entry | undefined> {
    const directory = join(this.#folder, name);
    const known = this.#entries.get(name);
    const readAt = performance.now();
    try {
      const files = await lookAt(directory);
      if (known?.kind === 'run' && isCurrent(known, files, readAt))
        return { ...known, run: { ...known.run, files } };
      const reading = await this.#read(directory, name, now);
      const { record } = reading;
      const configuration = configurationOfRecord(record.configuration);
      const run = { name, directory, files, record, configuration };
      return { kind: 'run', readAt, run, reading };
    } catch (error) {
      // Any defect of a run is that run's alone.
      const reason = error instanceof ClusterError ? error.message : messageOf(error);
      const short = reason.replaceAll(`${directory}/`, '').replaceAll(directory, 'it');
      return { kind: 'unlisted', readAt, reason: short };
    }
  }

  #summary(): Omit<BoardView, 'at' | 'pending' | 'omitted'> {
    const listed = [...this.#entries.values()]
      .filter((entry) => entry.kind === 'run')
      .toSorted((a, b) => (a.reading.overview.started < b.reading.overview.started ? 1 : -1));
    const differences = settingDifferences(listed.map(({ run }) => run.configuration)).filter(
      // The board has a column for the model.
      ({ setting }) => setting !== 'layers',
    );
    const unlisted = [...this.#entries].flatMap(([name, entry]) =>
      entry.kind === 'unlisted' ? [{ name, reason: entry.reason }] : [],
    );
    return {
      folder: basename(this.#folder) === '' ? this.#folder : basename(this.#folder),
      settings: differences.map(({ setting }) => setting.replaceAll('_', ' ')),
      runs: listed.map((entry, index) => ({
        ...rowOf(entry),
        settings: differences.map(({ values }) => values[index] ?? null),
      })),
      unlisted,
    };
  }

  /** The names of the subfolders, sorted, including links, which the board shows as such. */
  async #names(): Promise<string[]> {
    try {
      const entries = await readdir(this.#folder, { withFileTypes: true });
      return entries
        .filter(
          (entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isSymbolicLink()),
        )
        .map(({ name }) => name)
        .toSorted();
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw new ClusterError('DATA', `${this.#folder} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

function isCurrent({ readAt, run, reading }: Listed, files: RunFiles, now: number): boolean {
  if (files.stamp !== run.files.stamp) return false;
  const { state, writer } = reading.overview;
  if (state !== 'running' && writer === undefined) return true;
  return files.curve === run.files.curve && now - readAt < BOARD_REREAD_MILLISECONDS;
}

function rowOf({ run, reading: { overview, record } }: Listed): Omit<BoardRun, 'settings'> {
  const { state, started, step, steps, evaluation, seconds, workers, dataset } = overview;
  const { set, accuracy, loss } = evaluation ?? {};
  const isEvaluated = set !== undefined && accuracy !== undefined && loss !== undefined;
  const trained = seconds - (overview.waited ?? 0);
  const mean = step > 0 && trained > 0 ? step / trained : undefined;
  return {
    name: run.name,
    state,
    started,
    step,
    steps,
    stepsPerEpoch: stepsPerEpoch(run.configuration),
    model: modelText(run.configuration.model),
    dataset,
    // Without the matrix, which a page asks for when it shows it.
    evaluation: isEvaluated ? { set, accuracy, loss } : undefined,
    seconds,
    stepsPerSecond: record.result?.steps_per_second ?? mean,
    workers,
    engine: overview.engine ?? '',
    curve: run.files.curve,
    hasReport: run.files.hasReport,
  };
}
