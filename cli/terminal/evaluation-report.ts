import type { Evaluated } from '../../coordinator/evaluator.ts';
import { perClass } from '../../shared/evaluation/per-class.ts';
import type { Score } from '../../shared/evaluation/score.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { engineText } from '../../shared/engine-identity.ts';
import type { CsvRow } from '../../artifacts/report/csv.ts';
import type { ChosenModel } from '../runs/choose-model.ts';
import { columnsOf, padRight } from './columns.ts';
import { mistakeLines } from './mistake-picture.ts';
import { count, percent } from '../../shared/text/number-format.ts';
import { lossText } from './progress-line.ts';
import { paint, type Line } from './styled-line.ts';
import type { Style } from './style.ts';
import { className, confusionLines } from './summary.ts';

/** A model's result on a dataset. */
export interface Evaluation extends Evaluated {
  readonly score: Score;
  readonly chosen: ChosenModel;
  readonly dataset: Dataset;
  /** The part of the dataset that was evaluated. */
  readonly split: 'train' | 'test';
}

/** The evaluation as text for users. */
export function evaluationLines(evaluation: Evaluation, width: number, style: Style): Line[] {
  const { score, misclassified, dataset, engine } = evaluation;
  const { classNames } = dataset;
  return [
    [
      paint(`Accuracy ${percent(score.accuracy)}`, 'bold'),
      `, loss ${lossText(score.loss)} (${count(score.samples)} images)`,
    ],
    '',
    ...confusionLines({ ...score, classNames }, width),
    '',
    ...classLines(score, classNames),
    '',
    ...mistakeLines(misclassified, dataset, width, style),
    ...(engine === undefined ? [] : [`engine  ${engineText(engine)}`]),
  ];
}

function classLines({ confusion }: Score, classNames: readonly string[]): Line[] {
  const names = confusion.map((_, i) => className(classNames, i));
  const columns = Math.max(5, ...names.map(columnsOf));
  const heads = ['precision', 'recall', 'f1'].map((head) => head.padStart(11)).join('');
  return [
    [paint(`${'class'.padEnd(columns)}${heads}${'support'.padStart(10)}`, 'dim')],
    ...perClass(confusion).map(({ precision, recall, f1, support }, i) => {
      const ratios = [precision, recall, f1].map((ratio) => percent(ratio).padStart(11)).join('');
      return `${padRight(names[i] ?? '', columns)}${ratios}${count(support).padStart(10)}`;
    }),
  ];
}

/** The evaluation as JSON; the rows of the confusion matrix are the true classes. */
export function evaluationDocument(evaluation: Evaluation): object {
  const { score, misclassified, chosen, dataset, split, engine } = evaluation;
  const { samples, correct, accuracy, loss, confusion } = score;
  const { classNames } = dataset;
  return {
    model: chosen.name,
    step: chosen.step,
    dataset: dataset.name,
    split,
    samples,
    correct,
    accuracy,
    loss,
    class_names: classNames,
    confusion,
    // In the same format as in summary.json.
    per_class: perClass(confusion).map((each, i) => ({
      class: classNames[i] ?? String(i),
      ...each,
    })),
    misclassified,
    engine,
  };
}

/** The evaluation as CSV: a row for each class, with its row of the confusion matrix. */
export function evaluationRows({
  score: { confusion },
  dataset: { classNames },
}: Evaluation): CsvRow[] {
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
    names[i] ?? '',
    precision,
    recall,
    f1,
    support,
    ...(confusion[i] ?? []),
  ]);
  return [heads, ...rows];
}
