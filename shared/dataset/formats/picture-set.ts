import { readNamedNow } from '../../disk/regular-file.ts';
import { ClusterError, messageOf } from '../../errors.ts';
import { MAX_PICTURE_FILE_BYTES } from '../../limits/dataset.ts';
import { MAX_INPUTS } from '../../limits.ts';
import { tooLarge } from '../convert.ts';
import { shapeText, type ImageSize } from '../image-size.ts';
import { decodePicture } from '../../pictures/read-picture.ts';
import { grayOf } from '../../pictures/gray.ts';
import type { Rgba } from '../../pictures/rgba.ts';
import { resize } from '../resize.ts';
import { classesIn, picturesIn, type PictureFile } from './picture-folders.ts';
import type { RawHalf, RawSet } from './raw-set.ts';

/** The folders of a dataset's pictures. */
export interface PictureFolders {
  readonly train: string;
  readonly test: string | undefined;
}

interface PictureOptions {
  /** The size of all pictures; undefined if they have the same size. */
  readonly imageSize: ImageSize | undefined;
  /** The names in labels.txt, which give the classes their order. */
  readonly classNames: readonly string[] | undefined;
  readonly maxBytes: number;
}

/** The number of files that are read before signals are handled. */
const FILES_AT_A_TIME = 64;

/** Reads a folder with a folder of PNGs and JPEGs for each class, for one or both halves. */
export async function readPictures(
  { train, test }: PictureFolders,
  { imageSize, classNames, maxBytes }: PictureOptions,
): Promise<RawSet> {
  const names = classNames ?? (await classesIn(train));
  if (names.length < 2)
    throw new ClusterError('DATA', `${train} has ${names.length} folders of pictures`, {
      fix: 'use at least two classes, with a folder of pictures each',
    });
  const trainFiles = await picturesIn(train, names);
  const testFiles = test === undefined ? [] : await picturesIn(test, names);
  const reader: Reader = { imageSize, left: maxBytes, first: undefined, resized: 0 };
  const half = await readHalf(trainFiles, reader);
  if (half === undefined)
    throw new ClusterError('DATA', `${train} has no pictures`, { fix: 'add some' });
  const other = await readHalf(testFiles, reader);
  if (test !== undefined && other === undefined)
    throw new ClusterError('DATA', `${test} has no pictures`, { fix: 'add some, or remove it' });
  const total = trainFiles.length + testFiles.length;
  const what = `${reader.resized} of ${total} pictures had another size and were made`;
  const notes = reader.resized === 0 ? [] : [`${what} ${shapeText(half)} pixels`];
  return { train: half, test: other, classNames: names, notes };
}

interface Reader {
  readonly imageSize: ImageSize | undefined;
  /** Bytes that the rest of the dataset may have. */
  left: number;
  /** The first picture, whose size all must have without `imageSize`. */
  first: (ImageSize & { readonly path: string }) | undefined;
  /** The number of pictures that had another size. */
  resized: number;
}

async function readHalf(
  files: readonly PictureFile[],
  reader: Reader,
): Promise<RawHalf | undefined> {
  let images: Uint8Array | undefined;
  let size: ImageSize | undefined;
  for (const [i, { path }] of files.entries()) {
    // Signals are handled between two files.
    if (i % FILES_AT_A_TIME === 0) await new Promise(setImmediate);
    const picture = decoded(contentOf(path), path);
    size ??= reader.imageSize ?? sameSize(picture, path, reader);
    images ??= allocated(files.length, size, path, reader);
    const pixels = size.rows * size.columns;
    const target = images.subarray(i * pixels, (i + 1) * pixels);
    const gray = grayOf(picture);
    if (picture.rows === size.rows && picture.columns === size.columns) target.set(gray);
    else if (reader.imageSize === undefined) throw otherSize(picture, path, reader);
    else {
      reader.resized++;
      resize(picture, gray, size, target);
    }
  }
  if (images === undefined || size === undefined) return undefined;
  return {
    rows: size.rows,
    columns: size.columns,
    samples: files.length,
    images,
    labels: Uint8Array.from(files, ({ label }) => label),
    placeOf: (sample) => files[sample]?.path ?? '',
  };
}

/** Reads at once: for small files, waiting takes longer than reading. A pipe is not waited for. */
function contentOf(path: string): Buffer {
  const limit = { name: 'MAX_PICTURE_FILE_BYTES', bytes: MAX_PICTURE_FILE_BYTES };
  try {
    return readNamedNow(path, limit, 0).bytes;
  } catch (error) {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
      fix: 'replace the file, or remove it',
      cause: error,
    });
  }
}

/** The pixels of a file. Throws DATA. */
function decoded(file: Buffer, path: string): Rgba {
  try {
    return decodePicture(file, path);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    const { message, fix = 'save it again' } = error;
    throw new ClusterError('DATA', message, { fix: `${fix}, or remove it`, cause: error });
  }
}

/** The size of a half's first picture, which must be that of the other half. */
function sameSize({ rows, columns }: ImageSize, path: string, reader: Reader): ImageSize {
  reader.first ??= { rows, columns, path };
  const { first } = reader;
  if (first.rows !== rows || first.columns !== columns)
    throw otherSize({ rows, columns }, path, reader);
  return { rows, columns };
}

function otherSize(size: ImageSize, path: string, { first }: Reader): ClusterError {
  const expected = first === undefined ? '' : `, but ${first.path} has ${shapeText(first)}`;
  return new ClusterError('DATA', `${path} has ${shapeText(size)} pixels${expected}`, {
    fix: 'make all pictures the same size: --image-size 28',
  });
}

function allocated(samples: number, size: ImageSize, path: string, reader: Reader): Uint8Array {
  const pixels = size.rows * size.columns;
  if (pixels > MAX_INPUTS)
    throw new ClusterError(
      'DATA',
      `${path} has ${shapeText(size)} pixels, more than ${MAX_INPUTS} (MAX_INPUTS)`,
      { fix: 'make all pictures smaller: --image-size 28' },
    );
  const bytes = samples * (pixels + 1);
  if (bytes > reader.left) throw tooLarge(path, bytes, reader.left);
  reader.left -= bytes;
  return new Uint8Array(samples * pixels);
}
