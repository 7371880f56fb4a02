import { access, constants, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { STORE_LOOK_MILLISECONDS } from '../../shared/limits.ts';
import { folderIn, type StoreAddress } from './store-address.ts';
import { manifestIn, readManifestText, type Manifest } from './manifest.ts';
import { openStore } from './open-store.ts';
import { systemRetryPolicy } from './retry.ts';
import type { Store } from './store.ts';

/** A run that will be pushed to a store. */
export interface PlannedPush {
  /** Need not exist yet. */
  readonly directory: string;
  readonly run: string;
  /** Undefined for a run that has not started. */
  readonly started: string | undefined;
}

/**
 * Checks, before a run begins, whether it can be pushed to a store when it ends. Changes nothing
 * and does not retry. Resolves with a transient failure, such as a server that does not answer,
 * since that may have passed by the time the run ends. Rejects with a permanent failure: USAGE,
 * STORE, or RUN_EXISTS if the store has a different run with this id.
 */
export async function checkDestination(
  address: StoreAddress,
  { directory, run, started }: PlannedPush,
): Promise<ClusterError | undefined> {
  const target = folderIn(address, run);
  await refuseOwnFolder(directory, target);
  const enough = new AbortController();
  const retryPolicy = systemRetryPolicy(enough.signal, (error) => enough.abort(error));
  const store = await openStore(target, retryPolicy);
  const late = new ClusterError(
    'STORE',
    `${store.uri()} has not answered within ${STORE_LOOK_MILLISECONDS / 1000} s`,
  );
  const timer = setTimeout(() => enough.abort(late), STORE_LOOK_MILLISECONDS);
  try {
    const text = await readManifestText(store);
    if (text !== undefined) refuseOtherRun(manifestIn(text, store), started, store);
  } catch (error) {
    if (!enough.signal.aborted || !(error instanceof ClusterError)) throw error;
    return error;
  } finally {
    clearTimeout(timer);
  }
  if (target.kind === 'file') await checkFolder(target.directory, store);
  return undefined;
}

/** Rejects with USAGE if a run would be pushed to its own directory, or into it. */
export async function refuseOwnFolder(directory: string, target: StoreAddress): Promise<void> {
  if (target.kind !== 'file') return;
  const [from, to] = [await realOf(directory), await realOf(target.directory)];
  if (to !== from && !to.startsWith(`${from}${sep}`)) return;
  const where =
    to === from
      ? 'is also the destination of the push'
      : `would be pushed into itself, to ${target.directory}`;
  throw new ClusterError('USAGE', `${directory} ${where}`, {
    fix: 'choose a store outside the run directory',
  });
}

/** Throws RUN_EXISTS if the store has a run with this id that was started at a different time. */
export function refuseOtherRun(
  there: Manifest | undefined,
  started: string | undefined,
  store: Store,
): void {
  if (there === undefined || there.started === started) return;
  throw new ClusterError(
    'RUN_EXISTS',
    `${store.uri()} has a different run with this id, started ${there.started}`,
    { fix: 'choose another folder or prefix' },
  );
}

/** The path without symbolic links; it need not exist yet. */
async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    // A later write to this path reports the reason.
    return dirname(path) === path ? path : join(await realOf(dirname(path)), basename(path));
  }
}

/** Rejects with STORE if the folder cannot be written to or cannot be created. */
async function checkFolder(directory: string, store: Store): Promise<void> {
  try {
    const there = await nearest(directory);
    if (!(await stat(there)).isDirectory()) throw new Error(`${there} is not a folder`);
    await access(there, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new ClusterError('STORE', `${store.uri()} could not be written: ${messageOf(error)}`, {
      fix: 'check the permissions of the folder, or choose another one',
      cause: error,
    });
  }
}

/** The path itself, or its nearest parent folder that exists. */
async function nearest(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return await nearest(dirname(path));
  }
}
