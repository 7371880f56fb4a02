import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemDisk } from '../../shared/disk/disk.ts';
import { isOwnFolder, openEntry } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { makeIfNew, makeDirectories } from '../../shared/disk/whole-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { uriOf, type StoreAddress } from './store-address.ts';
import { checkName, isSegment } from './store-names.ts';
import { writePlain } from './plain-file.ts';
import { withRetries, type RetryPolicy } from './retry.ts';
import type { Content, Found, Store } from './store.ts';

type FileAddress = Extract<StoreAddress, { kind: 'file' }>;
/** Network file system errors that may be transient. */
const transient = new Set(['EAGAIN', 'EBUSY', 'ESTALE', 'ETIMEDOUT']);

/**
 * A folder as a store. The path to the folder may contain symbolic links; links inside it are not
 * followed.
 */
export class FileStore implements Store {
  readonly #address: FileAddress;
  readonly #retryPolicy: RetryPolicy;

  constructor(address: FileAddress, retryPolicy: RetryPolicy) {
    this.#address = address;
    this.#retryPolicy = retryPolicy;
  }

  uri(name?: string): string {
    return uriOf(this.#address, name);
  }

  async put(name: string, { size, sha256, open }: Content): Promise<void> {
    checkName(name);
    await this.#try(name, 'written', async () => {
      const path = await this.#path(name, true);
      const accept = (got: { size: number; sha256: string }): void => {
        if (got.size === size && got.sha256 === sha256) return;
        throw this.#explained(name, 'written', 'it changed while it was read');
      };
      const bytes = await open();
      try {
        await writePlain(bytes, { path, limit: size, accept });
      } finally {
        bytes.destroy();
      }
      await systemDisk.syncDirectory(dirname(path));
    });
  }

  async get<T>(name: string, use: (found: Found) => Promise<T>): Promise<T | undefined> {
    checkName(name);
    return await this.#try(name, 'read', async () => {
      const opened = await openEntry(await this.#path(name, false), 'STORE').catch(ifThere);
      if (opened === undefined) return undefined;
      const stream = opened.handle.createReadStream();
      try {
        return await use({ size: opened.size, bytes: stream });
      } finally {
        stream.destroy();
      }
    });
  }

  async remove(name: string): Promise<void> {
    checkName(name);
    await this.#try(name, 'removed', async () => {
      const path = await this.#path(name, false);
      await rm(path, { force: true });
      await systemDisk.syncDirectory(dirname(path)).catch(ifThere);
    });
  }

  async folders(): Promise<string[]> {
    return await this.#try('', 'read', async () => {
      const entries =
        (await readdir(this.#address.directory, { withFileTypes: true }).catch(ifThere)) ?? [];
      return entries
        .filter((entry) => entry.isDirectory() && isSegment(entry.name))
        .map(({ name }) => name);
    });
  }

  /** The path for a name. Checks that every folder in it is a folder and not a link. */
  async #path(name: string, isMade: boolean): Promise<string> {
    let path = this.#address.directory;
    if (isMade) {
      await makeDirectories(path).catch((error: unknown) => {
        // The disk's own error decides whether to retry.
        throw error instanceof ClusterError ? (error.cause ?? error) : error;
      });
    }
    for (const folder of name.split('/').slice(0, -1)) {
      path = join(path, folder);
      if ((await isOwnFolder(path, 'STORE')) || !isMade) continue;
      await makeIfNew(path, systemDisk);
      await systemDisk.syncDirectory(dirname(path));
    }
    return join(this.#address.directory, name);
  }

  async #try<T>(name: string, done: string, attempt: () => Promise<T>): Promise<T> {
    const classify = (error: unknown) => ({
      error: this.#explained(name, done, error),
      isTransient: transient.has(systemCode(error) ?? ''),
    });
    return await withRetries(attempt, classify, this.#retryPolicy);
  }

  #explained(name: string, done: string, error: unknown): ClusterError {
    return new ClusterError(
      'STORE',
      `${this.uri(name)} could not be ${done}: ${messageOf(error)}`,
      {
        fix:
          'check the folder (space, permissions), or choose another one; complete files are ' +
          'not sent again',
        cause: error,
      },
    );
  }
}

/** Returns undefined if the file does not exist; rethrows any other error. */
function ifThere(error: unknown): undefined {
  if (systemCode(error) === 'ENOENT') return undefined;
  throw error;
}
