import { mkdir, readFile, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { datasetDigest } from '../shared/dataset.ts';
import { ClusterError } from '../shared/errors.ts';
import { systemCode } from './system-error.ts';
import { diskError, writeWhole } from './whole-file.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where everything is kept that several checkouts share. */
export function cacheDirectory(environment: Environment = process.env): string {
  const { MNIST_DIST_CACHE: named, XDG_CACHE_HOME: xdg } = environment;
  if (named !== undefined && named !== '') return resolve(named);
  // The XDG specification says that a relative path is to be ignored.
  const shared = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.cache');
  return join(shared, 'mnist-dist');
}

/** The bytes of a dataset fetched before, verified; undefined if there are none that this user may read. Damaged ones are removed. */
export async function cachedDataset(
  digest: string,
  cache = cacheDirectory(),
): Promise<Uint8Array | undefined> {
  const path = pathOf(digest, cache);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '')) return undefined;
    throw new ClusterError('DATA', `${path} cannot be read: ${String(error)}`, {
      fix: 'remove it',
      cause: error,
    });
  }
  if (datasetDigest(bytes) === digest) return bytes;
  await rm(path, { force: true });
  return undefined;
}

/** Keeps a fetched dataset. Rejects with DATA when the bytes are not the digest's, with DISK when they cannot be kept. */
export async function storeDataset(
  digest: string,
  bytes: Uint8Array,
  cache = cacheDirectory(),
): Promise<void> {
  const path = pathOf(digest, cache);
  const actual = datasetDigest(bytes);
  if (actual !== digest) {
    throw new ClusterError(
      'DATA',
      `the dataset that came has the SHA-256 ${actual}, but ${digest} was asked for`,
      {
        fix: 'start the worker again; if it stays so, the coordinator serves something else than it announces',
      },
    );
  }
  try {
    await mkdir(join(cache, 'datasets'), { recursive: true });
  } catch (error) {
    throw diskError(join(cache, 'datasets'), error);
  }
  await writeWhole(path, bytes);
}

function pathOf(digest: string, cache: string): string {
  // The digest may come from a peer; it must not lead out of the folder.
  if (!/^[0-9a-f]{64}$/.test(digest))
    throw new ClusterError('DATA', `${JSON.stringify(digest)} is not a SHA-256`);
  return join(cache, 'datasets', digest);
}
