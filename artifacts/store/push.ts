import { ClusterError } from '../../shared/errors.ts';
import { shellPath, shellWord } from '../../shared/shell-word.ts';
import { MAX_RUN_FILE_BYTES, MAX_STORE_TRANSFERS } from '../../shared/limits.ts';
import { folderIn, parseStoreUri, type StoreAddress } from './store-address.ts';
import { LAST_FILE, FINISHED, readInventory, stateIn, type Inventory } from './inventory.ts';
import {
  MANIFEST,
  manifestIn,
  manifestText,
  readManifestText,
  readText,
  textContent,
} from './manifest.ts';
import { inParallel } from './transfers.ts';
import { refuseOwnFolder, refuseOtherRun } from './destination.ts';
import { digestOf } from './plain-file.ts';
import { openStore } from './open-store.ts';
import type { RetryPolicy } from './retry.ts';
import type { Content, Store } from './store.ts';
import { TransferProgress, type TransferTotals, type OnProgress } from './transfers.ts';
import { RECORD_FILE } from '../../shared/files/run-layout.ts';

/** What was done. */
export interface Pushed extends TransferTotals {
  readonly run: string;
  /** As run.json says: finished, interrupted, ... */
  readonly state: string;
  /** Where the run is now. */
  readonly uri: string;
}

/**
 * Puts a run's results into the folder of its id in a store: all files, each read back and compared
 * by its SHA-256, what is there already not sent again; artifacts/manifest.json after the others;
 * then, last, manifest.json, which names all of them with size, SHA-256 and type. A run without
 * manifest.json is no run to `pullRun`, so nobody sees half of one; where the results have changed
 * since an earlier push, the old manifest goes first. Changes nothing in the run. May be called
 * again after any failure. Rejects with STORE, DATA or USAGE; RUN_EXISTS where the store has
 * another run of the same id, or this one finished and here it is not.
 */
export async function pushRun(
  directory: string,
  address: StoreAddress,
  retryPolicy: RetryPolicy,
  onProgress: OnProgress = () => undefined,
): Promise<Pushed> {
  const inventory = await readInventory(directory);
  const { run, state, files } = inventory;
  const target = folderIn(address, run);
  await refuseOwnFolder(directory, target);
  const store = await openStore(target, retryPolicy);
  const progress = new TransferProgress(files, onProgress);
  const stale = await withdrawManifest(store, inventory);

  const send = async (file: (typeof files)[number]): Promise<void> =>
    progress.done(file, await sendIfMissing(store, file.name, file));
  await inParallel(
    files.filter(({ name }) => name !== LAST_FILE),
    MAX_STORE_TRANSFERS,
    send,
  );
  for (const file of files.filter(({ name }) => name === LAST_FILE)) await send(file);
  await inParallel(stale, MAX_STORE_TRANSFERS, (name) => store.remove(name));
  await sendIfMissing(store, MANIFEST, textContent(MANIFEST, manifestText(inventory)));
  return { ...progress.totals(), run, state, uri: store.uri() };
}

/**
 * Takes back the manifest of an earlier push that says something else. Resolves with the names that
 * only that one has.
 */
async function withdrawManifest(store: Store, inventory: Inventory): Promise<string[]> {
  const text = await readManifestText(store);
  if (text === undefined || text === manifestText(inventory)) return [];
  const old = manifestIn(text, store);
  refuseOtherRun(old, inventory.started, store);
  if (inventory.state !== FINISHED && (await isFinishedIn(store))) {
    throw new ClusterError(
      'RUN_EXISTS',
      `${store.uri()} holds this run finished; here it is ${inventory.state}`,
      {
        fix: 'push it when it is finished here, too, or name another folder or prefix',
      },
    );
  }
  await store.remove(MANIFEST);
  const kept = new Set(inventory.files.map(({ name }) => name));
  return (old?.files ?? []).map(({ name }) => name).filter((name) => !kept.has(name));
}

/** Of what cannot be read as a record nothing would be lost. */
async function isFinishedIn(store: Store): Promise<boolean> {
  return stateIn((await readText(store, RECORD_FILE, MAX_RUN_FILE_BYTES)) ?? '') === FINISHED;
}

/** Sends what is not there with the same bytes; afterwards the store was seen to hold them. */
async function sendIfMissing(
  store: Store,
  name: string,
  content: Content,
): Promise<'sent' | 'there'> {
  if (await hasSameBytes(store, name, content)) return 'there';
  await store.put(name, content);
  if (await hasSameBytes(store, name, content)) return 'sent';
  throw new ClusterError(
    'STORE',
    `${store.uri(name)} holds other bytes than were sent (SHA-256 ${content.sha256})`,
    {
      fix: 'see whether another program writes there, then push again',
    },
  );
}

async function hasSameBytes(
  store: Store,
  name: string,
  { size, sha256 }: Content,
): Promise<boolean> {
  const isSame = await store.get(name, async (found) => {
    if (found.size !== undefined && found.size !== size) return false;
    const digest = await digestOf(found.bytes);
    return digest.size === size && digest.sha256 === sha256;
  });
  return isSame === true;
}

/**
 * `pushRun` for whoever has just finished a run: a failure also says that the run lies whole in its
 * directory, and with which command the rest is sent later. Its code is the failure's own.
 */
export async function pushFinishedRun(
  directory: string,
  uri: string,
  retryPolicy: RetryPolicy,
  onProgress?: OnProgress,
): Promise<Pushed> {
  try {
    return await pushRun(directory, parseStoreUri(uri), retryPolicy, onProgress);
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    const first = error.fix === undefined ? '' : `${error.fix}. `;
    // What cannot be said so is not to be said again, and may hold what nobody should see.
    const to = error.code === 'USAGE' ? 'URI' : shellWord(uri);
    const what = error.code === 'USAGE' ? 'it is sent' : 'what is missing there is sent';
    throw new ClusterError(error.code, error.message, {
      fix: `${first}The run is whole in ${directory}; ${what} by: mnist-dist push ${shellPath(directory)} ${to}`,
      cause: error,
    });
  }
}
