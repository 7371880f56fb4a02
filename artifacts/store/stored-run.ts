import { digestOf, written } from './plain-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { StoreAddress } from './store-address.ts';
import { parseManifest, readManifestText, type ManifestEntry, type Manifest } from './manifest.ts';
import { openStore } from './open-store.ts';
import type { RetryPolicy } from './retry.ts';
import type { Store } from './store.ts';

/** A complete run in a store. */
export interface StoredRun extends Manifest {
  readonly store: Store;
}

const SHOWN_FOLDERS = 8;

/** Finds the run at an address. Rejects with STORE if the store does not have a complete run. */
export async function findRun(address: StoreAddress, retryPolicy: RetryPolicy): Promise<StoredRun> {
  const store = await openStore(address, retryPolicy);
  const text = await readManifestText(store);
  if (text === undefined) throw await noRun(store);
  return { ...parseManifest(text, store), store };
}

/**
 * Reads one file of a run and compares it with the manifest; undefined if the run has no such file.
 * Rejects with LIMIT, before fetching anything, if the file has more than `limit` bytes, and with
 * STORE for any other failure.
 */
export async function readStored(
  { store, files }: StoredRun,
  name: string,
  limit: number,
): Promise<Buffer | undefined> {
  const entry = files.find((file) => file.name === name);
  if (entry === undefined) return undefined;
  if (entry.size > limit)
    throw new ClusterError(
      'LIMIT',
      `${store.uri(name)} has ${entry.size} bytes; ${limit} are allowed`,
    );
  return await fetchStored(store, entry, async (bytes, accept) => {
    const parts: Uint8Array[] = [];
    const keep = async (part: Uint8Array): Promise<void> => void parts.push(part);
    accept(await digestOf(written(bytes, entry.size, keep)));
    return Buffer.concat(parts);
  });
}

/**
 * Resolves with the result of `take` for a file that the manifest lists. `take` must call `accept`
 * with the digest of the bytes before it uses them. Rejects with STORE.
 */
export async function fetchStored<T>(
  store: Store,
  { name, size, sha256 }: ManifestEntry,
  take: (
    bytes: AsyncIterable<Uint8Array>,
    accept: (got: { size: number; sha256: string }) => void,
  ) => Promise<T>,
): Promise<T> {
  const other = (what: string): ClusterError =>
    new ClusterError('STORE', `${store.uri(name)} ${what}`, {
      fix: 'another process may be pushing it: retry later, or push it again from a complete copy',
    });
  const found = await store.get(name, async ({ bytes }) => ({
    taken: await take(bytes, (got) => {
      if (got.size !== size || got.sha256 !== sha256) throw other('differs from the manifest');
    }),
  }));
  if (found === undefined) throw other('is missing, but the manifest lists it');
  return found.taken;
}

async function noRun(store: Store): Promise<ClusterError> {
  const folders = (await store.folders()).toSorted();
  const shown = folders.slice(0, SHOWN_FOLDERS).map((name) => store.uri(name));
  const more = folders.length > shown.length ? ', ...' : '';
  return new ClusterError('STORE', `${store.uri()} has no complete run: manifest.json is missing`, {
    fix:
      shown.length === 0
        ? 'push the run again from a complete copy: mnist-dist push RUN URI'
        : `choose one of the folders in it: ${shown.join(', ')}${more}`,
  });
}
