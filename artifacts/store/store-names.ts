import { ClusterError } from '../../shared/errors.ts';
import { FILE_NAME } from '../../shared/files/artifacts-manifest.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  INIT_FILE,
  METRICS_FILE,
  MODEL_FILE,
  RECORD_FILE,
} from '../../shared/files/run-layout.ts';
import { MAX_STORE_FOLDERS } from '../../shared/limits.ts';

/**
 * Whether a string is a valid file name in a store, such as `run.json` or `artifacts/loss.svg`.
 * Only valid names become keys and paths, so no name can lead out of the store or a directory: no
 * `..`, no absolute path, no NUL, no backslash, no hidden file.
 */
export function isStoreName(name: string): boolean {
  const segments = name.split('/');
  return segments.length <= MAX_STORE_FOLDERS + 1 && segments.every(isSegment);
}

/**
 * The files of a run that are pushed, besides artifacts/. Checkpoints, lock.json, the join string
 * and later evaluations (eval-.../) stay on the machine.
 */
export const RESULT_FILES: readonly string[] = [
  RECORD_FILE,
  METRICS_FILE,
  EVENTS_FILE,
  MODEL_FILE,
  INIT_FILE,
];

/** Whether a push sends files with this name, so that a pull may write them to a run directory. */
export function isResultName(name: string): boolean {
  const [folder, file, ...rest] = name.split('/');
  if (file === undefined) return RESULT_FILES.includes(name);
  return folder === ARTIFACTS_FOLDER && isSegment(file) && rest.length === 0;
}

/** Whether a string is a valid part of such a name. */
export function isSegment(text: string): boolean {
  return FILE_NAME.test(text);
}

/** Throws STORE if the name is not allowed in a store. */
export function checkName(name: string): void {
  if (isStoreName(name)) return;
  throw new ClusterError(
    'STORE',
    `${JSON.stringify(name.slice(0, 200))} is not a valid file name in a store`,
    {
      fix: 'use letters, digits, ".", "_" and "-", with "/" between folders and no leading "."',
    },
  );
}
