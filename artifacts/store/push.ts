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

/** The result of a push. */
export interface Pushed extends TransferTotals {
  readonly run: string;
  /** The state in run.json: finished, interrupted, ... */
  readonly state: string;
  /** The run's address in the store. */
  readonly uri: string;
}

/**
 * Puts a run's results into a folder in the store that is named after the run id. Files that the
 * store already has are not sent; each file is read back and compared by its SHA-256.
 * artifacts/manifest.json follows the other files, and manifest.json, which lists all files with
 * size, SHA-256 and type, comes last.
 *
 * `pullRun` rejects a run without manifest.json, so it never fetches half a run. If the results
 * have changed since an earlier push, the old manifest is removed first. The run itself is not
 * changed, and a push can be repeated after any failure.
 *
 * Rejects with STORE, DATA or USAGE, and with RUN_EXISTS if the store has a different run with the
 * same id, or a finished copy of this run although the local run is not finished.
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
 * Removes the manifest of an earlier push if it differs. Resolves with the names that only that
 * manifest lists.
 */
async function withdrawManifest(store: Store, inventory: Inventory): Promise<string[]> {
  const text = await readManifestText(store);
  if (text === undefined || text === manifestText(inventory)) return [];
  const old = manifestIn(text, store);
  refuseOtherRun(old, inventory.started, store);
  if (inventory.state !== FINISHED && (await isFinishedIn(store))) {
    throw new ClusterError(
      'RUN_EXISTS',
      `${store.uri()} has a finished copy of this run; the local run is ${inventory.state}`,
      {
        fix: 'finish the local run first, or choose another folder or prefix',
      },
    );
  }
  await store.remove(MANIFEST);
  const kept = new Set(inventory.files.map(({ name }) => name));
  return (old?.files ?? []).map(({ name }) => name).filter((name) => !kept.has(name));
}

/**
 * Whether the stored run is finished. False if its record cannot be read, since overwriting it then
 * loses nothing.
 */
async function isFinishedIn(store: Store): Promise<boolean> {
  return stateIn((await readText(store, RECORD_FILE, MAX_RUN_FILE_BYTES)) ?? '') === FINISHED;
}

/** Sends a file unless the store already has it with the same bytes, and reads it back. */
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
    `${store.uri(name)} differs from the bytes that were sent (SHA-256 ${content.sha256})`,
    {
      fix: 'check whether another program writes to it, then push again',
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
 * `pushRun` for a run that has just finished. On failure, the fix also says where the complete run
 * is and which command sends the rest later; the error code stays the same.
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
    // An invalid URI is not repeated: it would fail again, and it may contain a secret.
    const to = error.code === 'USAGE' ? 'URI' : shellWord(uri);
    const what = error.code === 'USAGE' ? 'send it' : 'send what is missing';
    throw new ClusterError(error.code, error.message, {
      fix:
        `${first}The complete run is in ${directory}; ${what} with: mnist-dist push ` +
        `${shellPath(directory)} ${to}`,
      cause: error,
    });
  }
}
