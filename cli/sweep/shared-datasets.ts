import type { Dataset } from '../../shared/dataset/dataset.ts';
import { formatImageSize } from '../../shared/dataset/image-size.ts';
import { newDataset } from '../runs/new-dataset.ts';
import type { Log } from '../terminal/log.ts';

/** `newDataset` for all trials: each dataset is read, and what is doubtful said, once. */
export function sharedDatasets(log: Log): typeof newDataset {
  const known = new Map<string, Promise<Dataset>>();
  return (options) => {
    const { data, imageSize, testSplit } = options;
    const size = imageSize === undefined ? '' : formatImageSize(imageSize);
    const key = JSON.stringify([data, size, testSplit]);
    const found = known.get(key) ?? newDataset(options, log);
    known.set(key, found);
    return found;
  };
}
