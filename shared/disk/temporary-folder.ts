import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClusterError, messageOf } from '../errors.ts';
import { TEMPORARY_TRIAL_BYTES } from '../limits.ts';

/**
 * Creates a folder for temporary files; the caller must remove the folder. Throws a DISK error if
 * it cannot be created.
 */
export function makeTemporaryFolder(name: string): string {
  try {
    return mkdtempSync(join(tmpdir(), `mnist-dist-${name}-`));
  } catch (error) {
    throw temporaryFileError(error);
  }
}

/**
 * Checks that temporary files can be written, using a trial file larger than any that a worker
 * writes. Throws a DISK error if they cannot.
 */
export function checkTemporaryFolder(): void {
  const folder = makeTemporaryFolder('check');
  try {
    writeFileSync(join(folder, 'trial'), new Uint8Array(TEMPORARY_TRIAL_BYTES));
  } catch (error) {
    throw temporaryFileError(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The error for a temporary file that could not be written. */
export function temporaryFileError(error: unknown): ClusterError {
  return new ClusterError(
    'DISK',
    `temporary files cannot be written to ${tmpdir()}: ${messageOf(error)}`,
    {
      fix: 'set TMPDIR to a writable folder with free space',
      cause: error,
    },
  );
}
