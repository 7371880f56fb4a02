import type { CsvRow } from '../../artifacts/report/csv.ts';
import { printable } from '../../shared/printable.ts';
import { duration, percent } from '../../shared/text/number-format.ts';
import { columnsOf, padLeft, padRight } from '../terminal/columns.ts';
import { paint, shortened, type Line } from '../terminal/styled-line.ts';
import { ranked, type TrialResult } from './trial-results.ts';
import { whatMattered, type Importance } from './what-mattered.ts';

/** What a sweep found. */
export interface SweepReport {
  readonly directory: string;
  /** The varied options. */
  readonly options: readonly string[];
  /** In the order of the sweep. */
  readonly trials: readonly TrialResult[];
  /** The run of the best trial; undefined if no trial was evaluated. */
  readonly best: string | undefined;
  readonly importance: readonly Importance[];
}

const MAX_CELL_COLUMNS = 24;
const GAP = '  ';

export function reportOf(
  directory: string,
  options: readonly string[],
  trials: readonly TrialResult[],
): SweepReport {
  return {
    directory,
    options,
    trials,
    best: ranked(trials)[0]?.run,
    importance: whatMattered(trials, options),
  };
}

/** The table of all trials, best first, and what mattered. */
export function reportLines({ options, trials, importance }: SweepReport): Line[] {
  const best = ranked(trials);
  const others = trials.filter(({ run }) => !best.some((trial) => trial.run === run));
  const set = best[0]?.set ?? 'validation';
  const heads = ['trial', ...options, set, 'loss', 'epoch', 'test', 'time', 'state'];
  const rows = [...best, ...others].map((trial) => [
    trial.run,
    ...options.map((option) => trial.values[option] ?? '-'),
    trial.best === undefined ? '-' : percent(trial.best.accuracy),
    trial.best?.loss.toFixed(4) ?? '-',
    trial.best === undefined ? '-' : String(trial.best.epoch),
    trial.test === undefined ? '-' : percent(trial.test.accuracy),
    trial.seconds === undefined ? '-' : duration(trial.seconds),
    trial.state,
  ]);
  const isText = (column: number) => column === 0 || column === heads.length - 1;
  const [head = '', ...lines] = table([heads, ...rows], isText);
  return [[paint(head, 'dim')], ...lines, '', ...importanceLines(importance, set)];
}

function importanceLines(importance: readonly Importance[], set: string): Line[] {
  const known = importance.flatMap(({ option, explained }) =>
    explained === undefined ? [] : [`${option} ${percent(explained, 0)}`],
  );
  if (known.length === 0)
    return ['There are too few different trials to say which option mattered.'];
  return [
    `What mattered, as part of the differences in ${set} accuracy that an option explains alone: ` +
      `${known.join(', ')}.`,
  ];
}

function table(rows: readonly (readonly string[])[], isText: (column: number) => boolean) {
  const cells = rows.map((row) => row.map((cell) => shortened(printable(cell), MAX_CELL_COLUMNS)));
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => columnsOf(row[column] ?? ''))),
  );
  return cells.map((row) =>
    row
      .map((cell, i) =>
        isText(i) ? padRight(cell, widths[i] ?? 0) : padLeft(cell, widths[i] ?? 0),
      )
      .join(GAP)
      .trimEnd(),
  );
}

/** A row for each trial, in the order of the sweep. */
export function reportRows({ options, trials }: SweepReport): CsvRow[] {
  return [
    [
      'run',
      'directory',
      'state',
      ...options,
      'set',
      'accuracy',
      'loss',
      'epoch',
      'test_accuracy',
      'test_loss',
      'seconds',
    ],
    ...trials.map(({ run, directory, state, values, set, best, test, seconds }) => [
      run,
      directory,
      state,
      ...options.map((option) => values[option] ?? ''),
      best === undefined ? '' : (set ?? ''),
      best?.accuracy ?? '',
      best?.loss ?? '',
      best?.epoch ?? '',
      test?.accuracy ?? '',
      test?.loss ?? '',
      seconds ?? '',
    ]),
  ];
}
