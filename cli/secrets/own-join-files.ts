import { createHash } from 'node:crypto';
import { existsSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { makeFolders } from '../../bin/files.mjs';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { readEntryNow } from '../../shared/disk/regular-file.ts';
import { writeSecretFile } from './secret-file.ts';

/**
 * The cache records which join files this user's coordinators have written: a run directory may
 * come from someone else, who knows the token in its join file. A record contains the file's path
 * and the SHA-256 of its text, and is named after the path.
 */
function recordOf(file: string): { readonly record: string; readonly path: string } {
  const path = join(realpathSync(dirname(file)), basename(file));
  return { record: join(recordFolder(), sha256(path)), path };
}

function recordFolder(): string {
  return join(cacheDirectory(), 'joins');
}

/**
 * Records a join file with this text, and drops the records of files that are gone. Returns a
 * function that drops the record. Without a writable cache, there is no record.
 */
export function recordJoinFile(file: string, text: string): () => void {
  try {
    const { record, path } = recordOf(file);
    makeFolders(recordFolder(), 0o700);
    writeSecretFile(record, `${sha256(text)} ${path}`);
    dropStaleRecords();
  } catch {
    // The cache is not writable.
  }
  return () => dropJoinRecord(file);
}

/** Drops the record of a join file; does nothing if there is none. */
export function dropJoinRecord(file: string): void {
  try {
    rmSync(recordOf(file).record, { force: true });
  } catch {
    // Its run directory is gone: the next record drops it.
  }
}

/** Whether this user's coordinator has written the join file with this text. */
export function isOwnJoinFile(file: string, text: string): boolean {
  try {
    const { record, path } = recordOf(file);
    return readEntryNow(record).toString('utf8') === `${sha256(text)} ${path}`;
  } catch {
    return false;
  }
}

function dropStaleRecords(): void {
  for (const name of readdirSync(recordFolder())) {
    // Any other file is a record that another process is writing.
    if (!/^[0-9a-f]{64}$/.test(name)) continue;
    const record = join(recordFolder(), name);
    try {
      const path = readEntryNow(record).toString('utf8').slice(65);
      // The file system of a missing folder may not be mounted at the moment.
      if (existsSync(dirname(path)) && !existsSync(path)) rmSync(record, { force: true });
    } catch {
      // Another process may have dropped it.
    }
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
