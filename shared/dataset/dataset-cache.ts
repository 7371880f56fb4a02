import { lstat, opendir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { datasetDigest } from './dataset.ts';
import { ClusterError } from '../errors.ts';
import { MAX_DATASET_CACHE_BYTES } from '../limits.ts';
import { cacheDirectory } from '../disk/cache-directory.ts';
import { lstatIfThere, readEntry } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';
import { diskError, makeDirectories, writeWhole } from '../disk/whole-file.ts';

/**
 * The folder for datasets fetched from coordinators, one file per dataset, named by its SHA-256. A
 * file's access time records its last use. When the files together exceed the limit, the least
 * recently used are removed first. A dataset in use is in memory, so removing its file has no
 * effect on a process that uses it.
 */
export function datasetCache(cache = cacheDirectory()): string {
  return join(cache, 'datasets');
}

/**
 * The verified bytes of a dataset; undefined if there is no file that this user may read. A damaged
 * file is removed.
 */
export async function cachedDataset(
  digest: string,
  cache = cacheDirectory(),
): Promise<Uint8Array | undefined> {
  const path = pathOf(digest, cache);
  let bytes: Uint8Array;
  try {
    bytes = await readEntry(path, {
      name: 'MAX_DATASET_CACHE_BYTES',
      bytes: MAX_DATASET_CACHE_BYTES,
    });
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '')) return undefined;
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${path} cannot be read: ${String(error)}`, {
      fix: 'remove it',
      cause: error,
    });
  }
  if (datasetDigest(bytes) !== digest) {
    await rm(path, { force: true });
    return undefined;
  }
  await markUsed(path);
  return bytes;
}

/**
 * Stores a fetched dataset, and removes others if the total would exceed `maxBytes`. Rejects with
 * DATA if the bytes do not match the digest, with LIMIT if they alone exceed `maxBytes`, and with
 * DISK if they cannot be written.
 */
export async function storeDataset(
  digest: string,
  bytes: Uint8Array,
  cache = cacheDirectory(),
  maxBytes = MAX_DATASET_CACHE_BYTES,
): Promise<void> {
  const path = pathOf(digest, cache);
  const actual = datasetDigest(bytes);
  if (actual !== digest) {
    throw new ClusterError(
      'DATA',
      `the received dataset has the SHA-256 ${actual}, but ${digest} was requested`,
      {
        fix: 'start the worker again; if the error persists, restart the coordinator',
      },
    );
  }
  const folder = datasetCache(cache);
  if (bytes.length > maxBytes) {
    throw new ClusterError(
      'LIMIT',
      `the dataset has ${bytes.length} bytes, more than ${maxBytes} (MAX_DATASET_CACHE_BYTES)`,
    );
  }
  await makeDirectories(folder);
  try {
    await evict(folder, digest, maxBytes - bytes.length);
  } catch (error) {
    throw diskError(folder, error);
  }
  await writeWhole(path, bytes);
}

/** Matches the names of datasets and of temporary files that a crash left behind. */
const NAME = /^(?:([0-9a-f]{64})|\.[0-9a-f]{64}\.[0-9a-f]+\.tmp)$/;

/**
 * Removes the least recently used files until all files except that of `digest` total at most
 * `maxBytes`.
 */
async function evict(folder: string, digest: string, maxBytes: number): Promise<void> {
  const files: { readonly path: string; readonly size: number; readonly used: number }[] = [];
  for await (const { name } of await opendir(folder)) {
    const path = join(folder, name);
    if (!NAME.test(name) || name === digest) continue;
    // Another process may have removed the file in the meantime.
    const stat = await lstatIfThere(path);
    if (stat?.isFile() === true) files.push({ path, size: stat.size, used: stat.atimeMs });
  }
  let total = files.reduce((sum, { size }) => sum + size, 0);
  for (const { path, size } of files.toSorted((a, b) => a.used - b.used)) {
    if (total <= maxBytes) return;
    await rm(path, { force: true });
    total -= size;
  }
}

/** Sets the access time explicitly, because the file system may be mounted with noatime. */
async function markUsed(path: string): Promise<void> {
  try {
    await utimes(path, new Date(), (await lstat(path)).mtime);
  } catch {
    // The cache belongs to another user, or the file was removed. Either way, the dataset is
    // usable.
  }
}

function pathOf(digest: string, cache: string): string {
  // The digest may come from a peer, so the path must not be able to leave the folder.
  if (!/^[0-9a-f]{64}$/.test(digest))
    throw new ClusterError('DATA', `${JSON.stringify(digest)} is not a SHA-256`);
  return join(datasetCache(cache), digest);
}
