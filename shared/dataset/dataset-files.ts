import { opendir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { datasetFiles } from './dataset.ts';
import { ClusterError, messageOf } from '../errors.ts';
import { MAX_DATASET_CANDIDATES } from '../limits.ts';
import { systemCode } from '../disk/system-error.ts';

/** Describes in messages what --data may refer to. */
export const DATA_TEXT =
  `a folder with ${datasetFiles.map(({ file }) => file).join(', ')} (plain or .gz; EMNIST's ` +
  "names, dots for dashes, and MNIST/raw also work), an .npz file such as Keras' mnist.npz, " +
  "CSV files such as Kaggle's, or pictures in train/CLASS/ and test/CLASS/";

/**
 * MNIST's file names and their variants: dots for dashes, EMNIST's prefix and "test", .gz. The
 * capture groups are the prefix, the half and the kind. A name with a leading dot does not match,
 * because archives made on macOS contain a "._NAME" for each file.
 */
const NAME =
  /^(?:([^.].*)[-._])?(train|t10k|test)[-._](images|labels)[-._]idx[13][-._]ubyte(?:\.gz)?$/;

const SHOWN_CANDIDATES = 8;

interface Candidate {
  readonly file: (typeof datasetFiles)[number];
  /** The part before MNIST's name, such as "emnist-letters"; may be empty. */
  readonly prefix: string;
  readonly path: string;
}

/** The four files of a dataset that were found. */
export interface FoundFiles {
  /** The paths of each file, in the order of `datasetFiles`; copies of a file follow it. */
  readonly paths: readonly (readonly string[])[];
  /** The part of the names before MNIST's, such as "emnist-letters"; may be empty. */
  readonly prefix: string;
}

/**
 * Finds a dataset's four files; undefined if the folder has none of them. A file has several paths
 * if several names match it. A folder with the name of a file may contain that file, since some
 * archives unpack that way. With a prefix, only files with exactly this prefix count. Rejects with
 * DATA if a file is missing, or if the folder has files from several datasets.
 */
export async function findDatasetFiles(
  directory: string,
  prefix?: string,
): Promise<FoundFiles | undefined> {
  const all = await candidatesIn(directory);
  const candidates = prefix === undefined ? all : all.filter((each) => each.prefix === prefix);
  const [first] = candidates;
  if (first === undefined) return undefined;
  if (new Set(candidates.map(({ prefix }) => prefix)).size > 1)
    throw severalDatasets(directory, candidates);
  const paths = datasetFiles.map((file) => {
    const own = candidates.filter((candidate) => candidate.file === file).map(({ path }) => path);
    if (own.length > 0) return own;
    throw missingFile(directory, file.file);
  });
  return { paths, prefix: first.prefix };
}

/** The error for a folder without one of the files. */
export function missingFile(directory: string, file: string): ClusterError {
  return new ClusterError('DATA', `${directory} has no ${file}`, {
    fix: `a dataset is ${DATA_TEXT}`,
  });
}

/** The candidates in a folder, sorted by path so that a plain file precedes its .gz. */
async function candidatesIn(directory: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  for (const candidate of await namedIn(directory)) {
    if (await isFolder(candidate.path)) {
      const inner = await namedIn(candidate.path);
      found.push(...inner.filter(({ file }) => file === candidate.file));
    } else {
      found.push(candidate);
    }
  }
  return found.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

/** Reads one name at a time, since a folder may contain any number of files. */
async function namedIn(directory: string): Promise<Candidate[]> {
  const found: Candidate[] = [];
  try {
    for await (const { name } of await opendir(directory)) {
      const [, prefix = '', half, kind] = NAME.exec(name) ?? [];
      const start = half === 'train' ? 'train' : 't10k';
      const file = datasetFiles.find((each) => each.kind === kind && each.file.startsWith(start));
      if (file === undefined) continue;
      found.push({ file, prefix, path: join(directory, name) });
      if (found.length > MAX_DATASET_CANDIDATES) break;
    }
  } catch (error) {
    throw notAFolder(directory, error);
  }
  if (found.length > MAX_DATASET_CANDIDATES) throw severalDatasets(directory, found);
  return found;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    // Reading the file will report the reason.
    return false;
  }
}

/** The error for a path that cannot be read as a folder. */
export function notAFolder(directory: string, error: unknown): ClusterError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist',
    ENOTDIR: 'is not a folder',
  };
  const reason = reasons[systemCode(error) ?? ''] ?? `cannot be read: ${messageOf(error)}`;
  return new ClusterError('DATA', `the data folder ${directory} ${reason}`, {
    fix: `give --data ${DATA_TEXT}`,
    cause: error,
  });
}

function severalDatasets(directory: string, candidates: readonly Candidate[]): ClusterError {
  const names = candidates.map(({ path }) => (dirname(path) === directory ? basename(path) : path));
  const shown = names.slice(0, SHOWN_CANDIDATES).join(', ');
  const more = names.length > SHOWN_CANDIDATES ? ', ...' : '';
  return new ClusterError('DATA', `${directory} has files from several datasets: ${shown}${more}`, {
    fix:
      'give --data the beginning of the names, such as DIR/emnist-letters, or put the four files ' +
      'of each dataset in a separate folder',
  });
}
