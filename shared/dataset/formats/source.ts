import type { Dirent } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { datasetFiles } from '../dataset.ts';
import { isEmnistPrefix } from './emnist.ts';
import { findDatasetFiles, missingFile, notAFolder, DATA_TEXT } from '../dataset-files.ts';
import { ClusterError } from '../../errors.ts';
import { MAX_DATA_ENTRIES } from '../../limits/dataset.ts';
import { startOf } from '../unpacked-file.ts';
import type { CsvFiles } from './csv-set.ts';
import { halfNames, hasPictures, isFolder } from './picture-folders.ts';
import type { PictureFolders } from './picture-set.ts';

interface Place {
  /** The folder that may have a labels.txt. */
  readonly folder: string;
  /** The name of one of the files, or its beginning, by which EMNIST is told. */
  readonly name: string;
}

/** What was found at the path of a dataset. */
export type Source = Place &
  (
    | {
        readonly kind: 'idx';
        /** The paths of each of the four files; copies of a file follow it. */
        readonly files: readonly (readonly string[])[];
      }
    | { readonly kind: 'npz'; readonly file: string }
    | ({ readonly kind: 'csv' } & CsvFiles)
    | ({ readonly kind: 'pictures' } & PictureFolders)
  );

/** The folders that torchvision makes in its root, such as MNIST and FashionMNIST. */
const TORCHVISION = /^(?:[A-Za-z]+-?)?MNIST$/i;
const [NPZ, CSV] = [/\.npz$/i, /\.csv(?:\.gz)?$/i];
/** Kaggle's example of a submission has no pictures. */
const SUBMISSION = /submission/i;
const ZIP = Buffer.from('PK\u0003\u0004', 'latin1');
/** How idx files begin, up to the number of dimensions. */
const IDX = Buffer.of(0, 0, 8);

/**
 * Finds the dataset at a path. Rejects with DATA if there is none, or if there are several.
 *
 * - idx files in the folder itself, in its folder "raw", or in "raw" of a folder like "MNIST", as
 *   torchvision stores them
 * - an .npz file, or a folder with one
 * - a CSV file, or a folder with one, or with one for training and one for testing
 * - the beginning of the names of EMNIST's files in a folder, such as "gzip/emnist-letters"
 * - a folder of pictures: "train" and "test" with a folder for each class, or only those
 */
export async function findSource(path: string): Promise<Source> {
  const there = await stat(path).catch(() => undefined);
  if (there?.isFile() === true) return await sourceInFile(path);
  if (there === undefined && isEmnistPrefix(path)) {
    const named = await findByPrefix(dirname(path), basename(path));
    if (named !== undefined) return named;
  }
  const idx = await findIdx(path);
  if (idx !== undefined) return idx;
  const entries = await entriesIn(path);
  const found = [
    npzIn(path, entries),
    csvIn(path, entries),
    await picturesIn(path, entries),
  ].filter((source) => source !== undefined);
  const [source] = found;
  if (source === undefined) throw missingFile(path, datasetFiles[0].file);
  if (found.length > 1)
    throw new ClusterError(
      'DATA',
      `${path} has several datasets: ${found.map(describe).join(', ')}`,
      {
        fix: 'give --data the file that you mean, or put each dataset in a separate folder',
      },
    );
  return source;
}

async function sourceInFile(path: string): Promise<Source> {
  const place = { folder: dirname(path), name: basename(path) };
  const start = await startOf(path, ZIP.length);
  if (start.equals(ZIP) || NPZ.test(path))
    return { kind: 'npz', folder: place.folder, name: '', file: path };
  if (CSV.test(path)) return { kind: 'csv', ...place, train: path, test: undefined };
  if (start.subarray(0, IDX.length).equals(IDX))
    throw new ClusterError('DATA', `${path} is one of the four idx files of a dataset`, {
      fix: 'give --data its folder',
    });
  throw new ClusterError('DATA', `${path} is not a folder, an .npz file or a .csv file`, {
    fix: `give --data ${DATA_TEXT}`,
  });
}

function describe(source: Source): string {
  if (source.kind === 'npz') return basename(source.file);
  return source.kind === 'csv' ? basename(source.train) : 'folders of pictures';
}

/** EMNIST's archives unpack to a folder with the files of all its parts. */
async function findByPrefix(folder: string, prefix: string): Promise<Source | undefined> {
  const idx = await findDatasetFiles(folder, prefix);
  if (idx !== undefined) return { kind: 'idx', folder, name: prefix, files: idx.paths };
  const isOwn = (name: string) =>
    name.startsWith(prefix) && /^[-_.]/.test(name.slice(prefix.length));
  const csv = await namesIn(folder, (name) => CSV.test(name) && isOwn(name));
  return csvIn(folder, { npz: [], csv, folders: [] });
}

async function findIdx(folder: string): Promise<Source | undefined> {
  const own = await findDatasetFiles(folder);
  if (own !== undefined) return { kind: 'idx', folder, name: own.prefix, files: own.paths };
  const found: { place: string; source: Source }[] = [];
  for (const place of await rawFolders(folder)) {
    const files = await findDatasetFiles(place);
    if (files === undefined) continue;
    found.push({ place, source: { kind: 'idx', folder, name: files.prefix, files: files.paths } });
  }
  if (found.length > 1) {
    const places = found.map(({ place }) => place).join(', ');
    throw new ClusterError('DATA', `${folder} has several datasets: ${places}`, {
      fix: 'give --data one of these folders',
    });
  }
  return found[0]?.source;
}

/** The folders "raw", MNIST/raw and so on that exist. */
async function rawFolders(folder: string): Promise<string[]> {
  const names = await namesIn(folder, (name) => name === 'raw' || TORCHVISION.test(name));
  const inner = names.map((name) => join(folder, ...(name === 'raw' ? [name] : [name, 'raw'])));
  const found: string[] = [];
  for (const path of inner) if (await isFolder(path)) found.push(path);
  return found;
}

/** The names in a folder that may belong to a dataset in another form than idx. */
interface Entries {
  readonly npz: readonly string[];
  readonly csv: readonly string[];
  readonly folders: readonly string[];
}

async function entriesIn(folder: string): Promise<Entries> {
  const isFileOf = (name: string) => NPZ.test(name) || CSV.test(name);
  const files = await namesIn(folder, isFileOf);
  const folders = await namesIn(folder, (name, isDirectory) => isDirectory && !isFileOf(name));
  return {
    npz: files.filter((name) => NPZ.test(name)),
    csv: files.filter((name) => CSV.test(name) && !SUBMISSION.test(name)),
    folders,
  };
}

function npzIn(folder: string, { npz }: Entries): Source | undefined {
  const [name, ...others] = npz;
  if (name === undefined) return undefined;
  if (others.length > 0) throw severalFiles(folder, npz);
  return { kind: 'npz', folder, name: '', file: join(folder, name) };
}

function csvIn(folder: string, { csv }: Entries): Source | undefined {
  const [name] = csv;
  if (name === undefined) return undefined;
  if (csv.length === 1)
    return { kind: 'csv', folder, name, train: join(folder, name), test: undefined };
  const trainName = csv.find((each) => /train/i.test(each));
  const testName = csv.find((each) => /test/i.test(each) && !/train/i.test(each));
  const isPair = csv.length === 2 && trainName !== undefined && testName !== undefined;
  if (!isPair) throw severalFiles(folder, csv);
  const files = { train: join(folder, trainName), test: join(folder, testName) };
  return { kind: 'csv', folder, name: trainName, ...files };
}

function severalFiles(folder: string, names: readonly string[]): ClusterError {
  return new ClusterError('DATA', `${folder} has several files: ${names.slice(0, 8).join(', ')}`, {
    fix:
      'give --data the file that you mean, or keep one .npz file, or two CSV files with "train" ' +
      'and "test" in their names',
  });
}

async function picturesIn(folder: string, { folders }: Entries): Promise<Source | undefined> {
  const place = { kind: 'pictures', folder, name: '' } as const;
  const [train, test] = [halfNames.train, halfNames.test].map((names) => {
    const own = folders.filter((name) => names.some((each) => each === name.toLowerCase()));
    if (own.length > 1) throw severalFiles(folder, own);
    return own[0] === undefined ? undefined : join(folder, own[0]);
  });
  if (train !== undefined) return { ...place, train, test };
  for (const name of folders)
    if (await hasPictures(join(folder, name))) return { ...place, train: folder, test: undefined };
  return undefined;
}

/** The names that `accepts`, sorted. Rejects with LIMIT if there are too many of them. */
async function namesIn(
  folder: string,
  accepts: (name: string, isDirectory: boolean) => boolean,
): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      const { name } = entry;
      if (name.startsWith('.') || !accepts(name, await isFolderEntry(folder, entry))) continue;
      if (found.push(name) > MAX_DATA_ENTRIES) break;
    }
  } catch (error) {
    throw notAFolder(folder, error);
  }
  if (found.length <= MAX_DATA_ENTRIES) return found.toSorted();
  throw new ClusterError(
    'LIMIT',
    `${folder} has more than ${MAX_DATA_ENTRIES} folders or files of data (MAX_DATA_ENTRIES)`,
    { fix: 'give --data a folder with one dataset' },
  );
}

/** A link may lead to a folder. */
async function isFolderEntry(folder: string, entry: Dirent): Promise<boolean> {
  if (entry.isSymbolicLink()) return await isFolder(join(folder, entry.name));
  return entry.isDirectory();
}
