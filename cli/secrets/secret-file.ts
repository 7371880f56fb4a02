import { randomBytes } from 'node:crypto';
import { appendFileSync, renameSync, rmSync, writeFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { readEntryNow, readNamedNow, type ReadLimit } from '../../shared/disk/regular-file.ts';
import { diskError } from '../../shared/disk/whole-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';

/** Mode bits that are rejected: any access by others, and write access by the group. */
const FORBIDDEN = 0o027;

/**
 * Reads a file that contains a secret. Throws USAGE, naming the file and its flag, if the file
 * cannot be read, is larger than `limit`, or has a mode that gives others access.
 */
export function readSecretFile(file: string, flag: string, limit: ReadLimit): string {
  let found: ReturnType<typeof readNamedNow>;
  try {
    found = readNamedNow(file, limit);
  } catch (error) {
    throw new ClusterError('USAGE', `${file} cannot be read: ${messageOf(error)}`, {
      fix: `check ${flag}`,
    });
  }
  checkSecretMode(file, flag, found.stat);
  return found.bytes.toString('utf8');
}

/** Throws USAGE if the mode of a file that contains a secret gives others access. */
export function checkSecretMode(file: string, flag: string, stat: Stats): void {
  // Others cannot open a pipe.
  const mode = stat.isFile() ? stat.mode & 0o777 : 0;
  if ((mode & FORBIDDEN) === 0) return;
  throw new ClusterError(
    'USAGE',
    `${file} (${flag}) contains a secret that other users can read or change ` +
      `(mode ${mode.toString(8).padStart(4, '0')})`,
    { fix: `chmod 600 ${shellPath(file)}; if another user may have read it, replace the secret` },
  );
}

/** Atomically writes or replaces a file that only its owner can read. Throws DISK. */
export function writeSecretFile(file: string, text: string): void {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw diskError(file, error);
  }
}

/**
 * Adds these patterns to the folder's .gitignore, which it creates if it is missing. Returns a
 * function that removes a .gitignore that this call created. Throws DISK.
 */
export function hideFromGit(folder: string, patterns: readonly string[]): () => void {
  const file = join(folder, '.gitignore');
  try {
    const old = textOf(file);
    const lines = new Set(old?.split(/\r?\n/));
    const missing = lines.has('*') ? [] : patterns.filter((pattern) => !lines.has(pattern));
    const lacksLineEnd = old !== undefined && old !== '' && !old.endsWith('\n');
    const text = missing.map((pattern) => `${pattern}\n`).join('');
    if (missing.length > 0) appendFileSync(file, lacksLineEnd ? `\n${text}` : text);
    return () => {
      if (old === undefined) rmSync(file, { force: true });
    };
  } catch (error) {
    throw diskError(file, error);
  }
}

function textOf(file: string): string | undefined {
  try {
    return readEntryNow(file).toString('utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
