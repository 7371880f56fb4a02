import { storeDataset } from '../../shared/dataset/dataset-cache.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { readDataset } from '../../shared/dataset/load-dataset.ts';
import { doubtsAbout, lackOf, singleClass } from '../../shared/dataset/doubts.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import type { Log } from '../terminal/log.ts';

/**
 * Loads the dataset for a new run, and logs what was done to its files. A converted dataset is kept
 * in the cache, so that resuming, verifying and evaluating do not convert it again.
 */
export async function newDataset(
  { data, imageSize, testSplit }: Pick<CoordinatorOptions, 'data' | 'imageSize' | 'testSplit'>,
  log: Log,
): Promise<Dataset> {
  const say = (note: string) => log.info({}, note);
  const { dataset, isConverted } = await readDataset(data, { imageSize, testSplit, say });
  checkClasses(dataset, data);
  for (const doubt of doubtsAbout(dataset)) log.warn({}, doubt);
  if (isConverted) await keep(dataset, log);
  return dataset;
}

/** Throws DATA if all training samples have the same class: any model would be right. */
function checkClasses(dataset: Dataset, path: string | undefined): void {
  const found = singleClass(dataset);
  if (found !== undefined)
    throw new ClusterError('DATA', `${path ?? 'the dataset'}: ${found}`, {
      fix: 'check its labels; in CSV files without a header, they are the first value of each line',
    });
}

/** Warns about a validation set that lacks classes of the training set. */
export function warnOfValidationSet(
  { classNames, train }: Dataset,
  { trainSamples, validationSamples }: Configuration,
  log: Log,
): void {
  if (validationSamples === undefined) return;
  const sets = {
    training: { labels: train.labels.subarray(0, trainSamples) },
    validation: { labels: train.labels.subarray(trainSamples) },
  };
  const lack = lackOf('validation', 'training', sets, classNames);
  if (lack !== undefined) log.warn({}, lack);
}

async function keep({ digest, bytes }: Dataset, log: Log): Promise<void> {
  try {
    await storeDataset(digest, bytes);
  } catch (error) {
    if (!(error instanceof ClusterError) || (error.code !== 'DISK' && error.code !== 'LIMIT'))
      throw error;
    log.warn({}, `the dataset could not be cached and will be converted again: ${error.message}`);
  }
}
