import { join } from 'node:path';
import { readIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { isOwnFolder, lstatIfThere } from '../../shared/disk/regular-file.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  METRICS_FILE,
  MISTAKES_FILE,
  MODEL_FILE,
  RECORD_FILE,
  REPORT_FILE,
  SUMMARY_FILE,
} from '../../shared/files/run-layout.ts';
import { MAX_PAGE_FILE_BYTES } from '../../shared/limits/page.ts';
import type { RunFile } from '../feed/api.ts';
import { TEXT } from './responses.ts';

/** A file of a run as a response. */
export interface OfferedFile {
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

type Kind = Pick<OfferedFile, 'type' | 'headers'>;

/**
 * A run's files may be hostile: the report has an origin of its own and runs no scripts, and no
 * other file is shown as anything but text.
 */
const report: Kind = {
  type: 'text/html; charset=utf-8',
  headers: {
    'Content-Security-Policy':
      "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
  },
};
const text: Kind = { type: TEXT, headers: {} };
const model: Kind = {
  type: 'application/octet-stream',
  headers: { 'Content-Disposition': `attachment; filename="${MODEL_FILE}"` },
};

/** The files that a page links to, by their path in the run directory. */
const offered: ReadonlyMap<string, Kind> = new Map([
  [`${ARTIFACTS_FOLDER}/${REPORT_FILE}`, report],
  [`${ARTIFACTS_FOLDER}/${SUMMARY_FILE}`, text],
  [`${ARTIFACTS_FOLDER}/${MISTAKES_FILE}`, text],
  [MODEL_FILE, model],
  [RECORD_FILE, text],
  [METRICS_FILE, text],
  [EVENTS_FILE, text],
]);

/** The offered files that a run has, unless they are too large. */
export async function listFiles(directory: string): Promise<RunFile[]> {
  const found: RunFile[] = [];
  for (const path of offered.keys()) {
    const stat = (await isWithin(directory, path))
      ? await lstatIfThere(join(directory, path))
      : undefined;
    if (stat?.isFile() === true && stat.size <= MAX_PAGE_FILE_BYTES)
      found.push({ path, bytes: stat.size });
  }
  return found;
}

/**
 * Reads an offered file; undefined if the run does not have it or it is not offered. Rejects with
 * DATA if it is a link, or larger than the limit.
 */
export async function readFileOf(
  directory: string,
  path: string,
): Promise<OfferedFile | undefined> {
  const kind = offered.get(path);
  if (kind === undefined || !(await isWithin(directory, path))) return undefined;
  const limit = { name: 'MAX_PAGE_FILE_BYTES', bytes: MAX_PAGE_FILE_BYTES };
  const body = await readIfThere(join(directory, path), limit);
  return body && { ...kind, body };
}

/** Whether the folder of a path is the run's own: rejects with DATA if artifacts/ is a link. */
async function isWithin(directory: string, path: string): Promise<boolean> {
  return !path.includes('/') || (await isOwnFolder(join(directory, ARTIFACTS_FOLDER)));
}
