import { isAbsolute } from 'node:path';
import type { Conversion } from './convert.ts';
import { parseImageSize, type ImageSize } from './image-size.ts';
import { MNIST_DIGEST, parseDataset, type Dataset } from './dataset.ts';
import { ClusterError, type ErrorCode } from '../errors.ts';
import type { RunRecord } from '../files/run-schema.ts';
import { cachedDataset, datasetCache } from './dataset-cache.ts';
import { loadDataset } from './load-dataset.ts';
import { shortDigest } from '../printable.ts';

/** The number of classes in every dataset that class-names.ts knows. */
const KNOWN_CLASSES = 10;

/** Describes the dataset on which a run or a model was trained. */
export interface OwnDataset {
  /** How messages refer to the run or the model: its path or its URI. */
  readonly subject: string;
  /** The dataset's SHA-256. */
  readonly digest: string;
  /** The dataset's name, such as "MNIST"; undefined for an unknown dataset. */
  readonly name: string | undefined;
  /**
   * The folder that the dataset was loaded from; undefined for the installed MNIST, or if the
   * folder was not recorded.
   */
  readonly folder: string | undefined;
  readonly classes: number;
  /** Undefined if only the model is known. */
  readonly classNames: readonly string[] | undefined;
  /** How the files in the folder became the dataset, as far as the user chose it. */
  readonly conversion: Conversion;
  /** The size of its images, if it is recorded. */
  readonly imageSize: ImageSize | undefined;
}

export interface GivenDatasetOptions extends Conversion {
  /** Takes each of the notes about the conversion that a user should know. */
  readonly say?: (note: string) => void;
}

export interface OwnDatasetOptions {
  /** The code of the error if the dataset is not available; by default DATA. */
  readonly code?: ErrorCode;
  /**
   * An alternative to append to the error's fix, such as "or omit the pictures with --no-pictures".
   */
  readonly otherwise?: string;
}

/** The dataset described by a run.json file. */
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
    conversion: conversionOf(launch),
    imageSize: isSame ? { rows: dataset.rows, columns: dataset.columns } : undefined,
  };
}

/** The conversion that a run has recorded among its launch settings. */
export function conversionOf({ image_size: size, test_split }: RunRecord['launch']): Conversion {
  return {
    imageSize: typeof size === 'string' ? parseImageSize(size) : undefined,
    testSplit: typeof test_split === 'number' ? test_split : undefined,
  };
}

/**
 * Loads the dataset of a run or a model: from the given folder or, without one, from the npm
 * package, the cache or the recorded folder. Rejects with `code` if the given folder contains a
 * different dataset, or if none of these places contains the right one.
 */
export async function loadOwnDataset(
  own: OwnDataset,
  given: string | undefined,
  { code = 'DATA', otherwise }: OwnDatasetOptions = {},
): Promise<Dataset> {
  if (given !== undefined) {
    const dataset = await loadGivenDataset(own, given);
    if (dataset.digest === own.digest) return dataset;
    throw otherDataset(own, dataset.digest, code);
  }
  if (own.digest === MNIST_DIGEST) return withNames(await loadDataset(undefined), own);
  // Converting thousands of pictures again would take longer than reading the result.
  const cached = await cachedDataset(own.digest);
  if (cached !== undefined)
    return withNames(parseDataset(cached, numbers(own.classes), own.digest), own);
  const found = await loadFrom(own.folder, own);
  if (typeof found !== 'string') return found;
  const places = [
    found,
    `${datasetCache()} does not have it`,
    `the installed MNIST is ${shortDigest(MNIST_DIGEST)}`,
  ].join('; ');
  throw new ClusterError(
    code,
    `the dataset of ${own.subject}, ${shortDigest(own.digest)}, is not available: ${places}`,
    { fix: `pass its folder with --data DIR${otherwise === undefined ? '' : `, ${otherwise}`}` },
  );
}

/**
 * Loads the dataset in a folder, which may be a different one. If it is the run's own, and
 * labels.txt is missing, the class names are the run's. Without another choice, the files are
 * converted as the run's own were, and pictures of any size get the run's size.
 */
export function loadGivenDataset(
  { digest, classes, classNames, conversion, imageSize }: OwnDataset,
  folder: string,
  options: GivenDatasetOptions = {},
): Promise<Dataset> {
  // A dataset of ten classes may be a known one, which has names of its own.
  const known = classes === KNOWN_CLASSES ? undefined : numbers(classes);
  const unnamed = { digest, classNames: classNames ?? known };
  return loadDataset(folder, {
    ...options,
    imageSize: options.imageSize ?? conversion.imageSize,
    unnamed,
    wanted: digest,
    implied: { imageSize, testSplit: conversion.testSplit },
  });
}

/** The error for a different dataset, whose digest is `found`. */
export function otherDataset(
  { subject, digest, name }: OwnDataset,
  found: string,
  code: ErrorCode,
): ClusterError {
  return new ClusterError(
    code,
    `${subject} was trained on dataset ${shortDigest(digest)}; this is ${shortDigest(found)}`,
    {
      fix: `pass the folder of ${name ?? 'that dataset'} with --data DIR, or omit --data`,
    },
  );
}

/** The dataset in a folder, or the reason it is not the run's dataset. */
async function loadFrom(folder: string | undefined, own: OwnDataset): Promise<Dataset | string> {
  if (folder === undefined) return 'its folder is not recorded';
  try {
    const classNames = numbers(own.classes);
    const dataset = await loadDataset(folder, {
      ...own.conversion,
      classNames,
      wanted: own.digest,
    });
    if (dataset.digest === own.digest) return withNames(dataset, own);
    return `${folder} now has ${shortDigest(dataset.digest)}`;
  } catch (error) {
    if (error instanceof ClusterError) return error.message;
    throw error;
  }
}

/**
 * The dataset with the run's class names or, if they are unknown, with those of a known dataset or
 * with numbers.
 */
function withNames(dataset: Dataset, { classNames }: OwnDataset): Dataset {
  if (classNames === undefined && dataset.name === undefined) return dataset;
  return parseDataset(dataset.bytes, classNames, dataset.digest);
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}
