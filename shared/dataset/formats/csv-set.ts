import { ClusterError } from '../../errors.ts';
import { readCsvTable } from './csv-table.ts';
import type { RawSet } from './raw-set.ts';

/** The files of a dataset in CSV. */
export interface CsvFiles {
  readonly train: string;
  /** Undefined if there is only one file. */
  readonly test: string | undefined;
}

/**
 * Reads a training and a test file. A test file without labels, such as Kaggle's, is ignored if the
 * test set is taken from the training file, and an error otherwise.
 */
export async function readCsvFiles(
  { train, test }: CsvFiles,
  maxBytes: number,
  hasTestSplit: boolean,
): Promise<RawSet> {
  const first = await readCsvTable(train, maxBytes);
  if (!first.hasLabels)
    throw new ClusterError('DATA', `${train} has no labels, so it cannot be a training set`, {
      fix: 'give --data a file with a column called "label"',
    });
  const left = maxBytes - first.samples * (first.rows * first.columns + 1);
  const second = test === undefined ? undefined : await readCsvTable(test, left);
  if (test === undefined || second === undefined)
    return { train: first, test: undefined, classNames: undefined, notes: [] };
  if (second.hasLabels) return { train: first, test: second, classNames: undefined, notes: [] };
  if (!hasTestSplit)
    throw new ClusterError(
      'DATA',
      `${test} has no labels, so it cannot be a test set (Kaggle keeps the labels of its test.csv)`,
      { fix: `take the test set from the end of ${train}: --test-split 0.1` },
    );
  const notes = [`${test} has no labels and is not used`];
  return { train: first, test: undefined, classNames: undefined, notes };
}
