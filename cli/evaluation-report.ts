import { printedCsv } from '../artifacts/csv.ts';
import type { Evaluated } from '../coordinator/evaluator.ts';
import { perClass } from '../evaluation/per-class.ts';
import type { Score } from '../evaluation/score.ts';
import type { Dataset } from '../shared/dataset.ts';
import type { ChosenModel } from './choose-model.ts';
import { mistakeLines } from './mistake-picture.ts';
import { printable } from './printable.ts';
import { grouped, lossText, percent } from './progress-line.ts';
import { paint, type Style } from './style.ts';
import { className, confusionLines } from './summary.ts';

/** A model, a dataset whose test set it was asked about, and what it said. */
export interface Evaluation extends Evaluated {
  readonly score: Score;
  readonly chosen: ChosenModel;
  readonly dataset: Dataset;
  /** Which half of the files the test set was. */
  readonly split: 'train' | 'test';
}

/** For people. */
export function evaluationText(evaluation: Evaluation, width: number, style: Style): string {
  const { score, misclassified, dataset, engine } = evaluation;
  const { classNames } = dataset;
  const headline = paint(`Accuracy ${percent(score.accuracy)}`, 'bold', style);
  return [
    `${headline}, loss ${lossText(score.loss)} (${grouped(score.samples)} images)`,
    '',
    ...confusionLines({ ...score, classNames }, width, style),
    '',
    ...classLines(score, classNames, style),
    '',
    ...mistakeLines(misclassified, dataset, width, style),
    ...(engine === undefined
      ? []
      : [`engine  ${printable(`${engine.kind} (${engine.library}, ${engine.device})`)}`]),
    '',
  ].join('\n');
}

function classLines({ confusion }: Score, classNames: readonly string[], style: Style): string[] {
  const names = confusion.map((_, i) => className(classNames, i));
  const columns = Math.max(5, ...names.map((name) => name.length));
  const heads = ['precision', 'recall', 'f1'].map((head) => head.padStart(11)).join('');
  return [
    paint(`${'class'.padEnd(columns)}${heads}${'support'.padStart(10)}`, 'dim', style),
    ...perClass(confusion).map(({ precision, recall, f1, support }, i) => {
      const ratios = [precision, recall, f1].map((ratio) => percent(ratio).padStart(11)).join('');
      return `${(names[i] ?? '').padEnd(columns)}${ratios}${grouped(support).padStart(10)}`;
    }),
  ];
}

/** For programs: one object, the confusion matrix with rows true. */
export function evaluationJson({ score, misclassified, chosen, dataset, split, engine }: Evaluation): string {
  const { samples, correct, accuracy, loss, confusion } = score;
  const { classNames } = dataset;
  const document = {
    ...{ model: chosen.name, step: chosen.step, dataset: dataset.name, split, samples, correct },
    ...{ accuracy, loss, class_names: classNames, confusion },
    // As in summary.json.
    per_class: perClass(confusion).map((each, i) => ({ class: classNames[i] ?? String(i), ...each })),
    ...{ misclassified, engine },
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** For spreadsheets (RFC 4180): a line for each class, with its row of the confusion matrix. */
export function evaluationCsv({ score: { confusion }, dataset: { classNames } }: Evaluation): string {
  const names = confusion.map((_, i) => classNames[i] ?? String(i));
  const heads = [
    'class',
    'precision',
    'recall',
    'f1',
    'support',
    ...names.map((name) => `taken for ${name}`),
  ];
  const rows = perClass(confusion).map(({ precision, recall, f1, support }, i) => [
    ...[names[i] ?? '', precision, recall, f1, support],
    ...(confusion[i] ?? []),
  ]);
  return printedCsv([heads, ...rows]);
}
