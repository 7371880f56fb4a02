import { MAX_NEWCOMERS, MIN_NEWCOMERS, MIN_OPEN_FILES } from './limits.ts';
import { processLimit } from './process-limits.ts';

/**
 * Why this process cannot have `count` files open at the same time, and a fix; undefined if it can.
 */
export function tooFewFiles(
  count: number,
): { readonly message: string; readonly fix: string } | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= count) return undefined;
  return {
    message: `${count} open files are needed, but the limit is ${limit} (ulimit -n)`,
    fix: `raise the limit: ulimit -n ${Math.max(1024, count)}`,
  };
}

/** Node has already raised it to the hard limit. */
function openFilesLimit(): number | undefined {
  return processLimit('Max open files');
}

/**
 * How many connections may wait for admission at one listener. A process has at most two listeners,
 * so at least half of the files that it may open in addition to its own remain for workers, pages
 * and files.
 */
export function newcomerPlaces(limit: number | undefined = openFilesLimit()): number {
  if (limit === undefined) return MAX_NEWCOMERS;
  const share = Math.floor((limit - MIN_OPEN_FILES) / 4);
  return Math.max(MIN_NEWCOMERS, Math.min(MAX_NEWCOMERS, share));
}
