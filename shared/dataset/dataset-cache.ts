import { lstat, mkdir, opendir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { datasetDigest } from './dataset.ts';
import { ClusterError } from '../errors.ts';
import { MAX_DATASET_CACHE_BYTES } from '../limits.ts';
import { cacheDirectory } from '../disk/cache-directory.ts';
import { lstatIfThere, readEntry } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';
import { diskError, writeWhole } from '../disk/whole-file.ts';

/**
 * Datasets that were fetched from a coordinator, each in a file called by its SHA-256. A file's
 * access time says when it was last used: the files together have at most so many bytes, and the
 * ones unused for longest go first. A dataset is in memory while it is used, so a file that goes
 * takes nothing from its users.
 */
export function datasetCache(cache = cacheDirectory()): string {
  return join(cache, 'datasets');
}

/**
 * The bytes of a dataset, verified; undefined if there are none that this user may read. Damaged
 * ones are removed.
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
 * Keeps a fetched dataset, and removes others where they have more than `maxBytes` with it. Rejects
 * with DATA when the bytes are not the digest's, with LIMIT when they alone are too many, with DISK
 * when they cannot be kept.
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
      `the dataset that came has the SHA-256 ${actual}, but ${digest} was asked for`,
      {
        fix: 'start the worker again; if that does not help, the coordinator serves another dataset than it announces',
      },
    );
  }
  const folder = datasetCache(cache);
  if (bytes.length > maxBytes) {
    throw new ClusterError(
      'LIMIT',
      `the dataset has ${bytes.length} bytes; ${folder} takes ${maxBytes} (MAX_DATASET_CACHE_BYTES)`,
    );
  }
  try {
    await mkdir(folder, { recursive: true });
    await evict(folder, digest, maxBytes - bytes.length);
  } catch (error) {
    throw diskError(folder, error);
  }
  await writeWhole(path, bytes);
}

/** Datasets, and what a crash has left of one that was being written. */
const NAME = /^(?:([0-9a-f]{64})|\.[0-9a-f]{64}\.[0-9a-f]+\.tmp)$/;

/**
 * Removes files, the one unused for longest first, until all but that of `digest` have at most
 * `maxBytes`.
 */
async function evict(folder: string, digest: string, maxBytes: number): Promise<void> {
  const files: { readonly path: string; readonly size: number; readonly used: number }[] = [];
  for await (const { name } of await opendir(folder)) {
    const path = join(folder, name);
    if (!NAME.test(name) || name === digest) continue;
    // Another process may have removed it meanwhile.
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

/** A file system may be mounted so that reading alone does not say it. */
async function markUsed(path: string): Promise<void> {
  try {
    await utimes(path, new Date(), (await lstat(path)).mtime);
  } catch {
    // Another user's cache, or one that is gone: then it is used all the same.
  }
}

function pathOf(digest: string, cache: string): string {
  // The digest may come from a peer; it must not lead out of the folder.
  if (!/^[0-9a-f]{64}$/.test(digest))
    throw new ClusterError('DATA', `${JSON.stringify(digest)} is not a SHA-256`);
  return join(datasetCache(cache), digest);
}
