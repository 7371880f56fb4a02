import type { ClassScore } from '../../shared/evaluation/per-class.ts';
import { csv } from './csv.ts';
import type { TrainingCurve } from './training-curve.ts';
import type { Evaluation } from './subject.ts';

/** Layout version of summary.json and confusion_matrix.json. */
const FORMAT = 1;

/**
 * summary.json: the model, the data and the result. For a training run it also contains `training`.
 */
export function summary(
  { subject: { version, run, model, dataset, engine }, score }: Evaluation,
  scores: readonly ClassScore[],
  curve: TrainingCurve | undefined,
): object {
  const { samples, correct, accuracy, loss } = score;
  const { name, sha256, split, rows, columns, classNames } = dataset;
  return {
    format: FORMAT,
    version,
    ...(run === undefined ? {} : { run }),
    accuracy,
    loss,
    samples,
    correct,
    per_class: scores.map((each, index) => ({
      class: classNames[index] ?? String(index),
      ...each,
    })),
    dataset: {
      ...(name === undefined ? {} : { name }),
      sha256,
      split,
      rows,
      columns,
      class_names: classNames,
    },
    model,
    engine,
    ...(curve === undefined
      ? {}
      : { training: { steps: curve.steps, set: curve.set, evaluations: curve.evaluations } }),
  };
}

/** confusion_matrix.json: a row for each true class with a count for each predicted class. */
export function confusionTable(
  confusion: readonly (readonly number[])[],
  classNames: readonly string[],
) {
  return {
    format: FORMAT,
    rows: 'true',
    columns: 'predicted',
    classes: confusion.map((_, index) => classNames[index] ?? String(index)),
    confusion,
  };
}

export type ConfusionTable = ReturnType<typeof confusionTable>;

export function confusionCsv({ classes, confusion }: ConfusionTable): string {
  const rows = confusion.map((counts, index) => [classes[index] ?? '', ...counts]);
  return csv([['true \\ predicted', ...classes], ...rows]);
}

export function perClassCsv(scores: readonly ClassScore[], classNames: readonly string[]): string {
  const rows = scores.map(({ precision, recall, f1, support }, index) => [
    classNames[index] ?? String(index),
    precision,
    recall,
    f1,
    support,
  ]);
  return csv([['class', 'precision', 'recall', 'f1', 'support'], ...rows]);
}
