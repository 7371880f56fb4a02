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

/** A run that will be put into a store. */
export interface PlannedPush {
  /** Need not be there yet. */
  readonly directory: string;
  readonly run: string;
  /** Undefined for one that has yet to begin. */
  readonly started: string | undefined;
}

/**
 * Looks once whether a run can be put into a store later: at the settings, and at what is there.
 * Changes nothing, and waits for nobody. Resolves with what may have passed until then, such as a
 * server that does not answer. Rejects with what will not: USAGE, STORE, or RUN_EXISTS where
 * another run of this id is there.
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
    `${store.uri()} has not answered in ${STORE_LOOK_MILLISECONDS / 1000} s`,
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

/** A folder of runs is a store like any other, but not for the runs that lie in it. */
export async function refuseOwnFolder(directory: string, target: StoreAddress): Promise<void> {
  if (target.kind !== 'file') return;
  const [from, to] = [await realOf(directory), await realOf(target.directory)];
  if (to !== from && !to.startsWith(`${from}${sep}`)) return;
  const where =
    to === from ? 'is where it is to be sent' : `would be sent into itself, to ${target.directory}`;
  throw new ClusterError('USAGE', `${directory} ${where}`, {
    fix: 'name another folder than the one that the run lies in',
  });
}

/** Throws RUN_EXISTS where what is in the store is not the run that was started then. */
export function refuseOtherRun(
  there: Manifest | undefined,
  started: string | undefined,
  store: Store,
): void {
  if (there === undefined || there.started === started) return;
  throw new ClusterError(
    'RUN_EXISTS',
    `${store.uri()} holds another run of this id, started ${there.started}`,
    { fix: 'name another folder or prefix' },
  );
}

/** Without links, also what is not there yet. */
async function realOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    // Why not is for whoever writes there to say.
    return dirname(path) === path ? path : join(await realOf(dirname(path)), basename(path));
  }
}

/** Rejects with STORE where there is no folder, and none can be made. */
async function checkFolder(directory: string, store: Store): Promise<void> {
  try {
    const there = await nearest(directory);
    if (!(await stat(there)).isDirectory()) throw new Error(`${there} is no folder`);
    await access(there, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new ClusterError('STORE', `${store.uri()} could not be written: ${messageOf(error)}`, {
      fix: 'see to the permissions of the folder, or name another one',
      cause: error,
    });
  }
}

/** The path itself, or the folder in which it would be made. */
async function nearest(path: string): Promise<string> {
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return await nearest(dirname(path));
  }
}
