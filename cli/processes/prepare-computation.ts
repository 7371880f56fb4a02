import { cachedDataset, storeDataset } from '../../shared/dataset/dataset-cache.ts';
import { MNIST_DIGEST, parseDataset, type Dataset } from '../../shared/dataset/dataset.ts';
import { loadDataset } from '../../shared/dataset/load-dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { RunDescription } from '../../shared/wire/run-description.ts';
import { Computation } from '../../worker/computation.ts';
import { LoadedEngines } from '../../worker/engines/loaded-engines.ts';
import { fetchDataset, type DialOptions } from '../../worker/dial.ts';
import type { WorkerOptions } from '../options/options.ts';
import type { Log } from '../terminal/log.ts';

/** What a worker keeps from one run to the next. */
export interface Kept {
  readonly dataset: Dataset;
  readonly engines: LoadedEngines;
  /** As in `Computation`: a warning about it is logged once. */
  readonly disagreement: string | undefined;
}

/** Loads a run's dataset and creates the engine. Logs a warning if either has a shortcoming. */
export async function prepareComputation(
  run: RunDescription,
  dial: DialOptions,
  { threads, device }: Pick<WorkerOptions, 'threads' | 'device'>,
  log: Log,
  before?: Kept,
): Promise<{ readonly computation: Computation; readonly kept: Kept }> {
  const engines = before?.engines ?? new LoadedEngines();
  const { engine: kind } = dial;
  const isSame = before?.dataset.digest === run.configuration.dataset;
  const dataset = isSame
    ? before.dataset
    : await datasetOf(run, dial, (message) => log.warn({}, message));
  const choice = { kind, threads, device };
  const computation = await Computation.create(run.configuration, dataset, choice, engines);
  const { disagreement } = computation;
  if (disagreement !== undefined && disagreement !== before?.disagreement)
    log.warn(
      { engine: kind },
      `the engine ${disagreement}; computing shard by shard, which is slower`,
    );
  return { computation, kept: { dataset, engines, disagreement } };
}

/** A run's dataset: the installed MNIST, or a dataset from the cache or the coordinator. */
export async function datasetOf(
  run: RunDescription,
  dial: DialOptions,
  warn: (message: string) => void,
): Promise<Dataset> {
  const { dataset: digest } = run.configuration;
  if (digest === MNIST_DIGEST) return loadDataset(undefined);
  const cached = await cachedDataset(digest);
  if (cached !== undefined) return parseDataset(cached, run.class_names, digest);
  const fetched = await fetchDataset(dial, run);
  try {
    await storeDataset(digest, fetched);
  } catch (error) {
    if (!(error instanceof ClusterError) || (error.code !== 'DISK' && error.code !== 'LIMIT'))
      throw error;
    warn(`the dataset could not be cached and will be fetched again: ${error.message}`);
  }
  return parseDataset(fetched, run.class_names, digest);
}
