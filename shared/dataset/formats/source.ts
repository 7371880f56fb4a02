import { opendir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { datasetFiles } from '../dataset.ts';
import { findDatasetFiles, missingFile, notAFolder } from '../dataset-files.ts';
import { ClusterError } from '../../errors.ts';
import { MAX_DATA_ENTRIES } from '../../dataset-limits.ts';

/** What was found at the path of a dataset. */
export interface Source {
  readonly kind: 'idx';
  /** The folder that may have a labels.txt. */
  readonly folder: string;
  /** The name of one of the files, or its beginning. */
  readonly name: string;
  /** The paths of each of the four files; copies of a file follow it. */
  readonly files: readonly (readonly string[])[];
}

/** The folders that torchvision makes in its root, such as MNIST and FashionMNIST. */
const TORCHVISION = /^(?:[A-Za-z]+-?)?MNIST$/i;

/**
 * Finds the dataset at a path. Rejects with DATA if there is none, or if there are several.
 *
 * - idx files in the folder itself, in its folder "raw", or in "raw" of a folder like "MNIST", as
 *   torchvision stores them
 */
export async function findSource(path: string): Promise<Source> {
  const idx = await findIdx(path);
  if (idx !== undefined) return idx;
  throw missingFile(path, datasetFiles[0].file);
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
  const inner = (await foldersIn(folder)).map((path) =>
    basename(path) === 'raw' ? path : join(path, 'raw'),
  );
  const found: string[] = [];
  for (const path of inner) if (await isFolder(path)) found.push(path);
  return found.toSorted();
}

async function foldersIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const { name } of await opendir(folder)) {
      if (name !== 'raw' && !TORCHVISION.test(name)) continue;
      if (found.push(join(folder, name)) > MAX_DATA_ENTRIES) break;
    }
  } catch (error) {
    throw notAFolder(folder, error);
  }
  return found;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
