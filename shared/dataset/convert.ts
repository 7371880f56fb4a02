import { digitNames } from './class-names.ts';
import { ClusterError } from '../errors.ts';
import { shapeText, type ImageSize } from './image-size.ts';
import { idxHeader, idxHeaderBytes } from './idx.ts';
import type { Emnist } from './formats/emnist.ts';
import type { RawHalf, RawSet } from './formats/raw-set.ts';
import { resizeAll } from './resize.ts';

/** Changes that the user may ask for, or that a run has recorded. */
export interface Conversion {
  /** Makes every picture this size. */
  readonly imageSize?: ImageSize | undefined;
  /** The part of the training set, at its end, that becomes the test set. */
  readonly testSplit?: number | undefined;
}

interface ConvertOptions extends Conversion {
  /** How messages name the source. */
  readonly path: string;
  /** Defined for a part of EMNIST. */
  readonly emnist: Emnist | undefined;
  /** What the conversion is if the user does not say: that of the run whose dataset this is. */
  readonly implied?: Conversion | undefined;
  /** The names of the classes, if they are known. */
  readonly classNames: readonly string[] | undefined;
  readonly maxBytes: number;
}

/** The four idx files of a dataset, in the order of `datasetFiles`. */
export interface Converted {
  readonly bytes: Uint8Array;
  readonly notes: readonly string[];
}

/**
 * Makes the four idx files of a dataset from what a format's reader returns: turns EMNIST's
 * pictures upright, counts labels from 0, splits off a test set, and resizes. Throws DATA if the
 * halves do not fit, and LIMIT if the files would exceed `maxBytes`.
 */
export function convert(raw: RawSet, options: ConvertOptions): Converted {
  const { path, maxBytes, imageSize, emnist } = options;
  const notes = [...raw.notes];
  let halves = halvesOf(raw, options, notes);
  if (emnist !== undefined) {
    halves = halves.map(transposed);
    notes.push("EMNIST's pictures are stored transposed; they were turned upright");
  }
  const { classNames } = options;
  if (isCountedFrom1(halves, options)) {
    notes.push(`the labels 1 to ${largest(halves)} were made 0 to ${largest(halves) - 1}`);
    halves = halves.map(countedFrom0);
  }
  // Every dataset whose names are known by its labels has ten classes.
  checkLabels(halves, (classNames ?? digitNames).length);
  const size = imageSize ?? halves[0];
  const total = halves.reduce((sum, half) => sum + bytesOf(half, imageSize ?? half), 0);
  if (total > maxBytes) throw tooLarge(path, total, maxBytes);
  if (imageSize !== undefined && size !== undefined) {
    const other = halves.find(
      ({ rows, columns }) => rows !== size.rows || columns !== size.columns,
    );
    if (other !== undefined)
      notes.push(`pictures of ${shapeText(other)} pixels were made ${shapeText(imageSize)}`);
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const half of halves) {
    const images = imageSize === undefined ? half.images : resizeAll(half, imageSize);
    const { samples, labels } = half;
    const { rows, columns } = imageSize ?? half;
    const imagesHeader = idxHeader('images', samples, { rows, columns });
    const labelsHeader = idxHeader('labels', samples);
    for (const part of [imagesHeader, images, labelsHeader, labels]) {
      bytes.set(part, at);
      at += part.length;
    }
  }
  return { bytes, notes };
}

function bytesOf({ samples }: RawHalf, { rows, columns }: ImageSize): number {
  return idxHeaderBytes.images + idxHeaderBytes.labels + samples * (rows * columns + 1);
}

/** The training set and the test set. */
function halvesOf({ train, test }: RawSet, options: ConvertOptions, notes: string[]): RawHalf[] {
  const { path, testSplit, implied } = options;
  if (test !== undefined) {
    if (testSplit === undefined) return [train, test];
    throw new ClusterError('DATA', `${path} has a test set, so --test-split does not apply`, {
      fix: 'leave out --test-split, or move the test set away',
    });
  }
  const split = testSplit ?? implied?.testSplit;
  if (split === undefined) {
    throw new ClusterError('DATA', `${path} has a training set, but no test set`, {
      fix: 'add one, or take it from the end of the training set: --test-split 0.1',
    });
  }
  const kept = train.samples - testSamples(train.samples, split);
  if (kept === 0 || kept === train.samples) {
    const which = kept === 0 ? 'training' : 'test';
    throw new ClusterError(
      'DATA',
      `--test-split ${split} leaves no sample in the ${which} set: ${path} has ${train.samples}`,
      { fix: `use a ${kept === 0 ? 'smaller' : 'larger'} --test-split` },
    );
  }
  const halves = [partOf(train, 0, kept), partOf(train, kept, train.samples)];
  notes.push(`the last ${train.samples - kept} of ${train.samples} samples are the test set`);
  return halves;
}

/** `samples` x `split`, rounded up, where the product's error does not count. */
function testSamples(samples: number, split: number): number {
  return Math.ceil(samples * split - 1e-6);
}

function partOf(half: RawHalf, from: number, to: number): RawHalf {
  const pixels = half.rows * half.columns;
  return {
    ...half,
    samples: to - from,
    images: half.images.subarray(from * pixels, to * pixels),
    labels: half.labels.subarray(from, to),
    placeOf: (sample) => half.placeOf(from + sample),
  };
}

function transposed(half: RawHalf): RawHalf {
  const { rows, columns, samples } = half;
  const pixels = rows * columns;
  const images = new Uint8Array(half.images.length);
  for (let first = 0; first < samples * pixels; first += pixels)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        images[first + column * rows + row] = half.images[first + row * columns + column] ?? 0;
  return { ...half, rows: columns, columns: rows, images };
}

/** Whether the first class has the label 1: in EMNIST's letters, or if the last name needs it. */
function isCountedFrom1(
  halves: readonly RawHalf[],
  { emnist, classNames }: Pick<ConvertOptions, 'emnist' | 'classNames'>,
): boolean {
  if (halves.some(({ labels }) => labels.includes(0))) return false;
  const names = classNames?.length ?? 0;
  // A name more than EMNIST has is that of label 0.
  const isEmnists = emnist?.firstLabel === 1 && names <= (emnist.classNames?.length ?? 0);
  return isEmnists || names === largest(halves);
}

function largest(halves: readonly RawHalf[]): number {
  return halves.reduce(
    (most, { labels }) => labels.reduce((max, label) => Math.max(max, label), most),
    0,
  );
}

function countedFrom0(half: RawHalf): RawHalf {
  return { ...half, labels: half.labels.map((label) => label - 1) };
}

/** Throws DATA for the first label without a class, with its place. */
function checkLabels(halves: readonly RawHalf[], classes: number): void {
  for (const { labels, placeOf } of halves) {
    const at = labels.findIndex((label) => label >= classes);
    if (at < 0) continue;
    throw new ClusterError(
      'DATA',
      `${placeOf(at)}: the label is ${labels[at]}, but the classes are 0 to ${classes - 1}`,
      { fix: `list all ${largest(halves) + 1} class names in labels.txt, one per line` },
    );
  }
}

/** The error for a dataset that exceeds the limit. */
export function tooLarge(path: string, total: number, maxBytes: number): ClusterError {
  return new ClusterError(
    'LIMIT',
    `with ${path}, the dataset has ${total} bytes, more than ${maxBytes} (DEFAULT_MAX_DATA_BYTES)`,
    { fix: 'use a smaller dataset' },
  );
}
