import { randomBytes } from 'node:crypto';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ClusterError, messageOf } from '../shared/errors.ts';

/**
 * Writes a file whole or not at all: a temporary file beside it, sync, rename, directory sync. Whoever reads `path`
 * sees the old bytes or the new ones, also after a power cut. Rejects with DISK, naming the file.
 */
export async function writeWhole(path: string, data: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    await withFile(temporary, 'wx', async (file) => {
      await file.writeFile(data);
      await file.sync();
    });
    await rename(temporary, path);
    await withFile(dirname(path), 'r', (directory) => directory.sync());
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw diskError(path, error);
  }
}

/** A write that failed, in the words of its user. */
export function diskError(path: string, error: unknown): ClusterError {
  return new ClusterError('DISK', `${path} could not be written: ${messageOf(error)}`, {
    fix: 'free disk space, or choose another folder (--runs-dir for runs, MNIST_DIST_CACHE for the cache)',
    cause: error,
  });
}

async function withFile(
  path: string,
  flags: string,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}
