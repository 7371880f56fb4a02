import { randomBytes } from 'node:crypto';
import { appendFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readEntryNow, readNamedNow, type ReadLimit } from '../../shared/disk/regular-file.ts';
import { diskError } from '../../shared/disk/whole-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';

/** Others may not read or write it, and the group may not write it. */
const FORBIDDEN = 0o027;

/**
 * The text of a file that holds a secret. Throws USAGE, naming the file and its flag, where it
 * cannot be read, holds more than `limit`, or others can read it.
 */
export function readSecretFile(file: string, flag: string, limit: ReadLimit): string {
  let text: string;
  let mode: number;
  try {
    const { bytes, stat } = readNamedNow(file, limit);
    // A pipe has no name by which others could open it.
    mode = stat.isFile() ? stat.mode & 0o777 : 0;
    text = bytes.toString('utf8');
  } catch (error) {
    throw new ClusterError('USAGE', `${file} cannot be read: ${messageOf(error)}`, {
      fix: `check ${flag}`,
    });
  }
  if ((mode & FORBIDDEN) === 0) return text;
  throw new ClusterError(
    'USAGE',
    `${file} (${flag}) holds a secret, and others can read or change it (mode ${mode.toString(8).padStart(4, '0')})`,
    { fix: `chmod 600 ${file}; if another user may have read it, make a new one` },
  );
}

/**
 * Writes a file that only its owner reads, whole or not at all; what was there is replaced. Throws
 * DISK.
 */
export function writeSecretFile(file: string, text: string): void {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw diskError(file, error);
  }
}

/**
 * Keeps what these patterns match in the folder out of git, by a .gitignore there; lines that are
 * in one already stay. Returns how to remove it, which does nothing where it was there. Throws
 * DISK.
 */
export function hideFromGit(folder: string, patterns: readonly string[]): () => void {
  const file = join(folder, '.gitignore');
  try {
    const old = textOf(file);
    const lines = new Set(old?.split(/\r?\n/));
    const missing = lines.has('*') ? [] : patterns.filter((pattern) => !lines.has(pattern));
    const isOpen = old !== undefined && old !== '' && !old.endsWith('\n');
    const text = missing.map((pattern) => `${pattern}\n`).join('');
    if (missing.length > 0) appendFileSync(file, isOpen ? `\n${text}` : text);
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
