import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { systemDisk } from '../../shared/disk/disk.ts';
import { isOwnFolder, lstatIfThere } from '../../shared/disk/regular-file.ts';
import { FILE_SIZE_FIX, isTooLarge, systemCode } from '../../shared/disk/system-error.ts';
import { makeDirectories } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_STORE_TRANSFERS } from '../../shared/limits.ts';
import type { StoreAddress } from './store-address.ts';
import type { ManifestEntry, Manifest } from './manifest.ts';
import { inParallel } from './transfers.ts';
import { digestPlain, writePlain } from './plain-file.ts';
import type { RetryPolicy } from './retry.ts';
import type { Store } from './store.ts';
import { findRun, fetchStored } from './stored-run.ts';
import { TransferProgress, type TransferTotals, type OnProgress } from './transfers.ts';

/** The result of a pull. */
export interface Pulled extends TransferTotals {
  readonly run: string;
  readonly directory: string;
}

/**
 * The directory for the pulled run, or a folder of runs in which the pull creates a directory named
 * after the run id.
 */
export type PullTarget = { readonly directory: string } | { readonly runs: string };

/**
 * Fetches the run at an address and compares each file with the manifest. Files arrive in a hidden
 * folder next to the destination, which is renamed when all of them are complete; a later pull
 * reuses the complete files in it. A directory that already has the same files is left unchanged.
 * Rejects with STORE, with RUN_EXISTS if the destination contains different files, and with DISK if
 * it cannot be written.
 */
export async function pullRun(
  address: StoreAddress,
  target: PullTarget,
  retryPolicy: RetryPolicy,
  onProgress: OnProgress = () => undefined,
): Promise<Pulled> {
  const { store, run, files } = await findRun(address, retryPolicy);
  const directory = resolve('runs' in target ? join(target.runs, run) : target.directory);
  const progress = new TransferProgress(files, onProgress);
  if (await isThere(directory, files)) {
    for (const file of files) progress.done(file, 'there');
    return { ...progress.totals(), run, directory };
  }
  const partial = join(dirname(directory), `.${basename(directory)}.pull`);
  const kept = await onDisk(partial, () => prepare(partial, files));
  await inParallel(files, MAX_STORE_TRANSFERS, async (file) => {
    if (!kept.has(file.name)) await fetchFile(store, partial, file);
    progress.done(file, kept.has(file.name) ? 'there' : 'fetched');
  });
  await onDisk(directory, () => publish(partial, directory, files));
  return { ...progress.totals(), run, directory };
}

/**
 * Whether the directory has all files with the same bytes. False for an empty or missing directory;
 * rejects with RUN_EXISTS for any other content.
 */
async function isThere(directory: string, files: Manifest['files']): Promise<boolean> {
  const stat = await onDisk(directory, () => lstatIfThere(directory));
  if (stat === undefined) return false;
  if (stat.isDirectory()) {
    if ((await onDisk(directory, () => readdir(directory))).length === 0) return false;
    const same = await Promise.all(files.map((file) => isSame(directory, file)));
    if (same.every(Boolean)) return true;
  }
  throw new ClusterError(
    'RUN_EXISTS',
    `${directory} already exists and differs from the run in the store`,
    {
      fix: 'choose another directory, or move this one away',
    },
  );
}

async function isSame(directory: string, { name, size, sha256 }: ManifestEntry): Promise<boolean> {
  try {
    const digest = await digestPlain(join(directory, name));
    return digest.size === size && digest.sha256 === sha256;
  } catch {
    // Missing, a link or unreadable: a later write to this path reports the reason.
    return false;
  }
}

/**
 * Creates the folder, or keeps the complete files of this run that an earlier pull left in it and
 * removes all others. Resolves with the names of the kept files.
 */
async function prepare(partial: string, files: Manifest['files']): Promise<Set<string>> {
  await makeDirectories(dirname(partial));
  // Rejects a link, so that nothing is removed or written in another folder.
  if (!(await isOwnFolder(partial, 'STORE'))) await mkdir(partial);
  const folders = new Set(files.flatMap(({ name }) => foldersOf(name)));
  await prune(partial, '', folders, files);
  for (const folder of [...folders].toSorted())
    await mkdir(join(partial, folder), { recursive: true });
  const same = await Promise.all(files.map((file) => isSame(partial, file)));
  return new Set(files.filter((_, i) => same[i] === true).map(({ name }) => name));
}

/**
 * Removes everything that is not a file or folder of the run. Links are removed without being
 * followed.
 */
async function prune(
  partial: string,
  inside: string,
  folders: ReadonlySet<string>,
  files: Manifest['files'],
): Promise<void> {
  for (const entry of await readdir(join(partial, inside), { withFileTypes: true })) {
    const name = inside === '' ? entry.name : `${inside}/${entry.name}`;
    if (entry.isDirectory() && folders.has(name)) await prune(partial, name, folders, files);
    else if (!entry.isFile() || !files.some((file) => file.name === name))
      await rm(join(partial, name), { recursive: true, force: true });
  }
}

/** 'a/b/c' -> ['a', 'a/b'] */
function foldersOf(name: string): string[] {
  const parts = name.split('/').slice(0, -1);
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'));
}

async function fetchFile(store: Store, partial: string, file: ManifestEntry): Promise<void> {
  const path = join(partial, file.name);
  const explain = (error: unknown): ClusterError => diskError(path, error);
  await fetchStored(store, file, (bytes, accept) =>
    writePlain(bytes, { path, limit: file.size, explain, accept }),
  );
}

/**
 * Syncs all folders, then gives the top folder its final name. The files have already been synced.
 */
async function publish(
  partial: string,
  directory: string,
  files: Manifest['files'],
): Promise<void> {
  for (const folder of new Set(['', ...files.flatMap(({ name }) => foldersOf(name))]))
    await systemDisk.syncDirectory(join(partial, folder));
  await rename(partial, directory);
  await systemDisk.syncDirectory(dirname(directory));
}

async function onDisk<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw diskError(path, error);
  }
}

function diskError(path: string, error: unknown): ClusterError {
  const isTaken = ['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemCode(error) ?? '');
  return new ClusterError('DISK', `${path} could not be written: ${messageOf(error)}`, {
    fix: isTooLarge(error)
      ? FILE_SIZE_FIX
      : isTaken
        ? 'another pull may be writing to it: retry once it has ended, or choose another directory'
        : 'free disk space, or choose another directory; complete files are not fetched again',
    cause: error,
  });
}
