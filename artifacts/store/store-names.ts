import { ClusterError } from '../../shared/errors.ts';
import { FILE_NAME } from '../../shared/files/artifacts-manifest.ts';
import { MAX_STORE_FOLDERS } from '../../shared/limits.ts';

/**
 * Whether this is the name of a file in a store, `run.json` or `artifacts/loss.svg`. Only these
 * become keys and paths, so no name from outside leads out of the store or of a directory: no `..`,
 * nothing absolute, no NUL, no backslash, nothing hidden.
 */
export function isStoreName(name: string): boolean {
  const segments = name.split('/');
  return segments.length <= MAX_STORE_FOLDERS + 1 && segments.every(isSegment);
}

/** The same for one part of it. */
export function isSegment(text: string): boolean {
  return FILE_NAME.test(text);
}

/** Throws STORE for a name that could lead elsewhere. */
export function checkName(name: string): void {
  if (isStoreName(name)) return;
  throw new ClusterError(
    'STORE',
    `${JSON.stringify(name.slice(0, 200))} is no name for a file in a store`,
    {
      fix: 'names have letters, digits, ".", "_" and "-", with "/" between folders, and begin with no "."',
    },
  );
}
