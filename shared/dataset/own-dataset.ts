import { isAbsolute } from 'node:path';
import { MNIST_DIGEST, parseDataset, type Dataset } from './dataset.ts';
import { ClusterError, type ErrorCode } from '../errors.ts';
import type { RunRecord } from '../files/run-schema.ts';
import { cachedDataset, datasetCache } from './dataset-cache.ts';
import { loadDataset } from './load-dataset.ts';
import { shortDigest } from '../printable.ts';

/** What is known of the dataset that a run or a model was trained with. */
export interface OwnDataset {
  /** What messages call the run or the model: its path or its URI. */
  readonly subject: string;
  /** Its SHA-256. */
  readonly digest: string;
  /** "MNIST" for instance; undefined for a set that we do not know. */
  readonly name: string | undefined;
  /**
   * The folder that it was loaded from; undefined for the MNIST of the package, and where nobody
   * wrote it down.
   */
  readonly folder: string | undefined;
  readonly classes: number;
  /** Undefined where only the model is known. */
  readonly classNames: readonly string[] | undefined;
}

export interface OwnDatasetOptions {
  /** The code of the refusal. */
  readonly code?: ErrorCode;
  /** What else can be done, for the refusal: "or do without, --no-pictures". */
  readonly otherwise?: string;
}

/** What a run.json says of its dataset. */
export function datasetOfRun(
  subject: string,
  { configuration, dataset, launch }: RunRecord,
): OwnDataset {
  const { model, dataset: digest } = configuration;
  const { data } = launch;
  const isSame = dataset.sha256 === digest;
  const areAllNamed = isSame && dataset.class_names.length === model.classes;
  return {
    subject,
    digest,
    name: isSame ? dataset.name : undefined,
    folder: typeof data === 'string' && isAbsolute(data) ? data : undefined,
    classes: model.classes,
    classNames: areAllNamed ? dataset.class_names : undefined,
  };
}

/**
 * The dataset of a run or a model: from the folder that was given, else from where it was, from the
 * cache, or from the package. Rejects with DATA, or the given code, where that is another dataset
 * or none of them has it.
 */
export async function loadOwnDataset(
  own: OwnDataset,
  given: string | undefined,
  { code = 'DATA', otherwise }: OwnDatasetOptions = {},
): Promise<Dataset> {
  if (given !== undefined) {
    const dataset = await loadDataset(given);
    if (dataset.digest === own.digest) return dataset;
    throw otherDataset(own, dataset.digest, code);
  }
  if (own.digest === MNIST_DIGEST) return withNames(await loadDataset(undefined), own);
  const found = await loadFrom(own.folder, own);
  if (typeof found !== 'string') return found;
  const cached = await cachedDataset(own.digest);
  if (cached !== undefined)
    return withNames(parseDataset(cached, numbers(own.classes), own.digest), own);
  const places = `${found}; ${datasetCache()} does not have it; the MNIST of the package is ${shortDigest(MNIST_DIGEST)}`;
  throw new ClusterError(
    code,
    `${own.subject} was trained with the dataset ${shortDigest(own.digest)} (SHA-256), which is not here: ${places}`,
    { fix: `give its folder, --data DIR${otherwise === undefined ? '' : `, ${otherwise}`}` },
  );
}

/** The refusal of a dataset that is not the own one. */
export function otherDataset(
  { subject, digest, name }: OwnDataset,
  found: string,
  code: ErrorCode,
): ClusterError {
  return new ClusterError(
    code,
    `${subject} was trained with another dataset: SHA-256 ${shortDigest(digest)}; this one has ${shortDigest(found)}`,
    {
      fix: `give --data DIR with the run's dataset${name === undefined ? '' : ` (${name})`}, or leave --data out`,
    },
  );
}

/** What a folder has, or why that is not the own dataset. */
async function loadFrom(folder: string | undefined, own: OwnDataset): Promise<Dataset | string> {
  if (folder === undefined) return 'its folder is not recorded';
  try {
    const dataset = await loadDataset(folder, { classNames: numbers(own.classes) });
    if (dataset.digest === own.digest) return withNames(dataset, own);
    return `${folder} holds ${shortDigest(dataset.digest)} now`;
  } catch (error) {
    if (error instanceof ClusterError) return error.message;
    throw error;
  }
}

/** The run's own names, else those that the set is known by, else numbers. */
function withNames(dataset: Dataset, { classNames }: OwnDataset): Dataset {
  if (classNames === undefined && dataset.name === undefined) return dataset;
  return parseDataset(dataset.bytes, classNames, dataset.digest);
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}
