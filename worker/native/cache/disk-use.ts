import { lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { systemCode } from '../../../shared/disk/system-error.ts';
import { packageRoot } from '../../../shared/package-root.ts';

/** The parts of a cache, in the order in which they are listed. */
const CACHE_PARTS = ['libraries', 'wheels', 'bindings', 'datasets'] as const;

/** The disk space used by each part: "CACHE: libraries 816 MB, wheels 0 MB, ...; ROOT: 213 MB". */
export function diskUse(cache: string, installation: string = packageRoot): string {
  const parts = CACHE_PARTS.map((part) => `${part} ${megabytes(diskBytes(join(cache, part)))}`);
  // The files of a set-up that is running or was interrupted.
  const locks = namesIn(cache).filter((name) => /^lock(?:\.|$)/.test(name));
  const locked = locks.reduce((sum, name) => sum + diskBytes(join(cache, name)), 0);
  if (locks.length > 0) parts.push(`lock ${megabytes(locked)}`);
  return `${cache}: ${parts.join(', ')}; ${installation}: ${megabytes(diskBytes(installation))}`;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`;
}

/** The disk space that a file or folder takes up. Links are not followed. */
export function diskBytes(path: string): number {
  const stat = entryAt(path);
  if (stat === undefined || stat === 'hidden') return 0;
  const own = 512 * stat.blocks;
  if (!stat.isDirectory()) return own;
  return namesIn(path).reduce((sum, name) => sum + diskBytes(join(path, name)), own);
}

/**
 * What is at the path: undefined if nothing is, `hidden` if this user cannot find out. Follows a
 * link only if `stat` does.
 */
export function entryAt(path: string, stat = lstatSync): Stats | 'hidden' | undefined {
  try {
    return stat(path);
  } catch (error) {
    return ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '') ? undefined : 'hidden';
  }
}

/** The names in a folder; none if this user cannot read it, or if it does not exist. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).toSorted();
  } catch {
    return [];
  }
}
