import { readFileSync } from 'node:fs';
import { MAX_NEWCOMERS, MIN_NEWCOMERS, MIN_OPEN_FILES } from './limits.ts';

/**
 * What keeps this process from having so many files open at once, and the way out; undefined where
 * nothing does.
 */
export function tooFewFiles(
  count: number,
): { readonly message: string; readonly fix: string } | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= count) return undefined;
  return {
    message: `${limit} files may be open at once (ulimit -n), and this needs ${count}`,
    fix: `allow more: ulimit -n ${Math.max(1024, count)}`,
  };
}

/**
 * Node has raised the soft limit to the hard one. Undefined where there is none, or none is known.
 */
function openFilesLimit(): number | undefined {
  try {
    const text = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}

/**
 * Places of a listener for connections that it has not admitted. A process has two listeners at
 * most: strangers at both leave half of the files that it may have open, beyond those that it needs
 * itself, to workers, pages and files.
 */
export function newcomerPlaces(limit: number | undefined = openFilesLimit()): number {
  if (limit === undefined) return MAX_NEWCOMERS;
  const share = Math.floor((limit - MIN_OPEN_FILES) / 4);
  return Math.max(MIN_NEWCOMERS, Math.min(MAX_NEWCOMERS, share));
}
