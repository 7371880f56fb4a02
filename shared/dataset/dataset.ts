import { createHash } from 'node:crypto';
import { knownClassNames } from './class-names.ts';
import { ClusterError } from '../errors.ts';
import type { EvaluatedSet } from '../evaluation/evaluated-set.ts';
import { shapeText } from './image-size.ts';
import { parseIdx, parseIdxHeader, type IdxFile, type IdxKind } from './idx.ts';

/** The images and the labels of one half of a dataset, as views into the dataset's bytes. */
export interface Samples {
  /** [samples, rows, columns] pixels, 0-255. */
  readonly images: Uint8Array;
  /** [samples] true classes. */
  readonly labels: Uint8Array;
  readonly samples: number;
}

export interface Dataset {
  /** SHA-256 of `bytes`, in hexadecimal. */
  readonly digest: string;
  /**
   * The four uncompressed idx files in the order of `datasetFiles`, as GET /data/<digest> serves
   * them.
   */
  readonly bytes: Uint8Array;
  /** "MNIST" or "Fashion-MNIST"; undefined for an unknown dataset. */
  readonly name: string | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
  readonly train: Samples;
  readonly test: Samples;
}

/** The files of a dataset in the order in which they are concatenated. */
export const datasetFiles = [
  { file: 'train-images-idx3-ubyte', kind: 'images' },
  { file: 'train-labels-idx1-ubyte', kind: 'labels' },
  { file: 't10k-images-idx3-ubyte', kind: 'images' },
  { file: 't10k-labels-idx1-ubyte', kind: 'labels' },
] as const satisfies readonly { file: string; kind: IdxKind }[];

/** The digest of MNIST, the installed dataset. */
export const MNIST_DIGEST = 'b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a';

/** The size of MNIST's images, and its number of classes. */
export const MNIST_SHAPE = { rows: 28, columns: 28, classes: 10 } as const;

export function datasetDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Parses a dataset. Throws DATA unless the bytes are four idx files that belong together. Without
 * `classNames`, a known dataset gets its own class names, and any other dataset gets 0-9. Passing a
 * `digest` that was already verified saves 30 ms.
 */
export function parseDataset(
  bytes: Uint8Array,
  classNames?: readonly string[],
  digest?: string,
): Dataset {
  const { train, test } = parseHalves(bytes);
  const known = knownClassNames(labelsDigest(train.labels.whole, test.labels.whole));
  const names = classNames ?? known.classNames;
  checkPixels(train.images, test.images);
  checkLabels(train.labels.data, names.length, datasetFiles[1].file);
  checkLabels(test.labels.data, names.length, datasetFiles[3].file);
  return {
    digest: digest ?? datasetDigest(bytes),
    bytes,
    name: known.name,
    classNames: names,
    rows: train.images.rows,
    columns: train.images.columns,
    train: samplesOf(train),
    test: samplesOf(test),
  };
}

/** The two idx files of one half of a dataset. */
export interface IdxHalf {
  readonly images: Part;
  readonly labels: Part;
}

/** Parses the files of both halves. Throws DATA unless each image has a label. */
export function parseHalves(bytes: Uint8Array): { train: IdxHalf; test: IdxHalf } {
  const [trainImages, trainLabels, testImages, testLabels] = datasetFiles;
  const reader = { rest: bytes };
  const train = { images: take(reader, trainImages), labels: take(reader, trainLabels) };
  const test = { images: take(reader, testImages), labels: take(reader, testLabels) };
  if (reader.rest.length > 0) {
    throw new ClusterError(
      'DATA',
      `the dataset has ${reader.rest.length} bytes after ${testLabels.file}`,
    );
  }
  checkCounts(train, [trainImages.file, trainLabels.file]);
  checkCounts(test, [testImages.file, testLabels.file]);
  return { train, test };
}

function samplesOf({ images, labels }: IdxHalf): Samples {
  return { images: images.data, labels: labels.data, samples: images.samples };
}

/**
 * The samples of a set that a run evaluates. The validation set is what follows the training set in
 * the training files; it is empty in a run without one.
 */
export function evaluatedSamples(
  { train, test, rows, columns }: Dataset,
  set: EvaluatedSet,
  { trainSamples }: { readonly trainSamples: number },
): Samples {
  if (set === 'test') return test;
  return {
    images: train.images.subarray(trainSamples * rows * columns),
    labels: train.labels.subarray(trainSamples),
    samples: train.samples - trainSamples,
  };
}

/** The dataset with its training set and its test set swapped. */
export function swappedHalves({ bytes, name, classNames }: Dataset): Dataset {
  const reader = { rest: bytes };
  const [trainImages, trainLabels] = datasetFiles;
  take(reader, trainImages);
  take(reader, trainLabels);
  const test = reader.rest;
  const swapped = new Uint8Array(bytes.length);
  swapped.set(test);
  swapped.set(bytes.subarray(0, bytes.length - test.length), test.length);
  return { ...parseDataset(swapped, classNames), name };
}

/** A file of a dataset. */
interface Part extends IdxFile {
  /** The header and the data. */
  readonly whole: Uint8Array;
}

function take(reader: { rest: Uint8Array }, { file, kind }: (typeof datasetFiles)[number]): Part {
  const { totalBytes } = parseIdxHeader(reader.rest, kind, file);
  const whole = reader.rest.subarray(0, totalBytes);
  reader.rest = reader.rest.subarray(whole.length);
  return { ...parseIdx(whole, kind, file), whole };
}

function labelsDigest(train: Uint8Array, test: Uint8Array): string {
  return createHash('sha256').update(train).update(test).digest('hex');
}

function checkCounts(
  { images, labels }: IdxHalf,
  [imageFile, labelFile]: readonly [string, string],
): void {
  if (images.samples === labels.samples) return;
  throw new ClusterError(
    'DATA',
    `${imageFile} has ${images.samples} images, but ${labelFile} has ${labels.samples} labels`,
    {
      fix: 'use two files from the same dataset, with one label per image',
    },
  );
}

function checkPixels(train: IdxFile, test: IdxFile): void {
  if (train.rows === test.rows && train.columns === test.columns) return;
  throw new ClusterError(
    'DATA',
    `training images have ${shapeText(train)} pixels, but test images have ${shapeText(test)}`,
    { fix: 'use training and test images of the same size' },
  );
}

function checkLabels(labels: Uint8Array, classes: number, file: string): void {
  const at = labels.findIndex((label) => label >= classes);
  if (at < 0) return;
  const largest = labels.reduce((max, label) => Math.max(max, label), 0);
  throw new ClusterError(
    'DATA',
    `${file}: label ${at} is ${labels[at]}, but the classes are 0 to ${classes - 1}`,
    {
      fix: `list all ${largest + 1} class names in labels.txt next to the file, one per line`,
    },
  );
}
