import { storeDataset } from '../../shared/dataset/dataset-cache.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { readDataset } from '../../shared/dataset/load-dataset.ts';
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
  if (isConverted) await keep(dataset, log);
  return dataset;
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
