import { join } from 'node:path';
import type { Shortcoming } from '../../shared/evaluation/shortcoming.ts';
import { unreachable } from '../../shared/errors.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { columnsOf, padLeft, padRight } from './columns.ts';
import { joined, paint, shortened, type Line } from './styled-line.ts';
import { count, counted, duration, percent } from '../../shared/text/number-format.ts';
import { lossText } from './progress-line.ts';
import {
  ARTIFACTS_FOLDER,
  METRICS_FILE,
  MISTAKES_FILE,
  MODEL_FILE,
  RECORD_FILE,
  REPORT_FILE,
} from '../../shared/files/run-layout.ts';

/** The summary of a finished run. */
export interface Summary {
  readonly runDirectory: string;
  /** Whether the run has a report. */
  readonly hasReport: boolean;
  /** Description for users, such as "tensorflow (TensorFlow 2.21.0, cpu)". */
  readonly engine: string;
  /** The highest number of workers that returned results at the same time. */
  readonly workers: number;
  readonly steps: number;
  /** The learning rate of the last step; undefined if all steps have the same. */
  readonly lastRate?: number | undefined;
  /**
   * Total time that coordinators ran the run, in seconds, and, if known, how much of it passed with
   * too few workers.
   */
  readonly seconds: number;
  readonly waited: number | undefined;
  /** Undefined if the run was too short. */
  readonly stepsPerSecond: number | undefined;
  /** Such as "epoch 4 (step 7500)": the model's, with --keep-best. */
  readonly best?: string | undefined;
  readonly test: TestResult;
  /** Hexadecimal SHA-256 of model.safetensors. */
  readonly modelSha256: string;
}

export interface TestResult {
  readonly loss: number;
  /** A ratio, 0..1. */
  readonly accuracy: number;
  /** Counts; rows are the true classes, columns the predicted ones. */
  readonly confusion: readonly (readonly number[])[];
  readonly classNames: readonly string[];
}

const MAX_CLASS_NAME_COLUMNS = 16;
const SHOWN_CONFUSIONS = 10;

const files = [
  ['model', MODEL_FILE],
  ['run', RECORD_FILE],
  ['steps', METRICS_FILE],
  ['mistakes', join(ARTIFACTS_FOLDER, MISTAKES_FILE)],
] as const;
const report = ['report', join(ARTIFACTS_FOLDER, REPORT_FILE)] as const;

/** The summary as lines. */
export function summaryLines(summary: Summary, width: number): Line[] {
  const { test } = summary;
  const samples = test.confusion.flat().reduce((sum, count) => sum + count, 0);
  return [
    [
      paint(`Test accuracy ${percent(test.accuracy)}`, 'bold'),
      `, loss ${lossText(test.loss)} (${count(samples)} images)`,
    ],
    '',
    ...confusionLines(test, width),
    '',
    ...pairs([
      ['engine', summary.engine],
      ...timeRows(summary),
      ...(summary.lastRate === undefined ? [] : [rateRow(summary.lastRate)]),
      ...(summary.best === undefined ? [] : [['best', summary.best] as const]),
      ...(summary.hasReport ? [...files, report] : files).map(
        ([what, file]): readonly [string, string] => [what, join(summary.runDirectory, file)],
      ),
      ['sha256', summary.modelSha256],
      ['export', `mnist-dist export ${shellPath(summary.runDirectory)} --to onnx`],
    ]),
  ];
}

/**
 * The confusion matrix as an aligned table (rows true, columns predicted) with each class's recall;
 * if it is wider than `width`, the most frequent mistakes instead.
 */
export function confusionLines(test: TestResult, width: number): Line[] {
  const names = test.confusion.map((_, i) => className(test.classNames, i));
  const cell =
    Math.max(
      ...test.confusion.flat().map((count) => String(count).length),
      ...numbers(names.length),
    ) + 2;
  // Long names appear only in the rows; the columns then show class numbers, which the rows repeat.
  const short = names.every((name) => columnsOf(name) <= cell - 2);
  const heads = names.map((name, i) => (short ? name : String(i)));
  const labels = names.map((name, i) => (short || name === String(i) ? name : `${i} ${name}`));
  const labelColumns = Math.max(4, ...labels.map(columnsOf));
  const recallColumns = 11;
  if (labelColumns + cell * names.length + recallColumns > width) return topConfusions(test, names);

  const right = (text: string) => padLeft(text, cell);
  return [
    'Confusion matrix: rows true, columns predicted',
    [
      paint(
        'true'.padEnd(labelColumns) + heads.map(right).join('') + 'recall'.padStart(recallColumns),
        'dim',
      ),
    ],
    ...test.confusion.map((row, i) => {
      const cells = row.map((count, j) =>
        j === i ? [paint(right(String(count)), 'green')] : right(dotted(count)),
      );
      const recall = recallText(row, i).padStart(recallColumns);
      return joined([padRight(labels[i] ?? '', labelColumns), ...cells, recall], '');
    }),
  ];
}

function topConfusions(test: TestResult, names: readonly string[]): string[] {
  const wrong = test.confusion.flatMap((row, i) =>
    row.flatMap((count, j) =>
      i === j || count === 0 ? [] : [{ count, text: `${names[i]} taken for ${names[j]}` }],
    ),
  );
  const top = wrong.toSorted((a, b) => b.count - a.count).slice(0, SHOWN_CONFUSIONS);
  const columns = Math.max(0, ...top.map(({ count }) => String(count).length));
  return [
    top.length === 0 ? 'No mistakes.' : 'Most frequent mistakes (the whole matrix is in run.json):',
    ...top.map(({ count, text }) => `  ${String(count).padStart(columns)}  ${text}`),
  ];
}

/** The name of a class, escaped and shortened. */
export function className(names: readonly string[], index: number): string {
  return shortened(names[index] ?? String(index), MAX_CLASS_NAME_COLUMNS);
}

function recallText(row: readonly number[], index: number): string {
  const total = row.reduce((sum, count) => sum + count, 0);
  return total === 0 ? '-' : percent((row[index] ?? 0) / total);
}

/** The length of the longest class number, which must fit in a column. */
function numbers(classes: number): number[] {
  return [String(Math.max(0, classes - 1)).length];
}

function dotted(count: number): string {
  return count === 0 ? '.' : String(count);
}

function pairs(rows: readonly (readonly [string, string])[]): string[] {
  const columns = Math.max(...rows.map(([what]) => what.length)) + 2;
  return rows.map(([what, text]) => what.padEnd(columns) + text);
}

/** Describes why a model is poor, and what the user can try. */
export function shortcomingText(
  shortcoming: Shortcoming,
  { accuracy, loss }: Pick<TestResult, 'accuracy' | 'loss'>,
  learningRate: number,
): string {
  const smaller = `a smaller --learning-rate (it was ${learningRate})`;
  switch (shortcoming.kind) {
    case 'guessing': {
      const guess =
        `accuracy ${percent(accuracy)}; ` +
        `the most frequent class alone gives ${percent(shortcoming.guess)}`;
      return (
        `the model is hardly better than guessing: ${guess}; ` +
        `try ${smaller}, more --epochs, or check the data`
      );
    }
    case 'risen': {
      const losses = `first ${lossText(shortcoming.from)}, now ${lossText(loss)}`;
      return `the loss on the test set has risen: ${losses}; try ${smaller} or a shorter training`;
    }
    default:
      return unreachable(shortcoming);
  }
}

function rateRow(rate: number): readonly [string, string] {
  return ['rate', `${Number(rate.toPrecision(4))} in the last step`];
}

/**
 * Rows for the training time without the wait for workers, for that wait, and for the speed without
 * evaluations.
 */
function timeRows({
  steps,
  seconds,
  waited = 0,
  workers,
  stepsPerSecond,
}: Summary): [string, string][] {
  const who = workers === 0 ? '' : ` with ${counted(workers, 'worker')}`;
  return [
    ['trained', `${count(steps)} steps in ${duration(seconds - waited)}${who}`],
    ...(waited < 1
      ? []
      : [['waited', `${duration(waited)} for workers`] satisfies [string, string]]),
    ...(stepsPerSecond === undefined
      ? []
      : [
          ['speed', `${count(stepsPerSecond)} steps/s between evaluations`] satisfies [
            string,
            string,
          ],
        ]),
  ];
}
