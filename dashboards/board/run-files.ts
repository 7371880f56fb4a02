import { join } from 'node:path';
import { isOwnFolder, lstatIfThere } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import {
  ARTIFACTS_FOLDER,
  EVENTS_FILE,
  METRICS_FILE,
  RECORD_FILE,
  REPORT_FILE,
  SWEEP_FILE,
} from '../../shared/files/run-layout.ts';
import { MAX_BOARD_EVENTS_BYTES } from '../../shared/limits/board.ts';

/** What is known about a run's files without reading them. */
export interface RunFiles {
  /** Changes when the record or the events do. */
  readonly stamp: string;
  /** Changes when metrics.jsonl does. */
  readonly curve: string;
  readonly hasReport: boolean;
  readonly metricsBytes: number;
  readonly eventsBytes: number;
}

/**
 * Looks at a run's files. Rejects with DATA for a folder that cannot be shown. A link to a folder
 * is not followed: the board serves only what is in its own folder.
 */
export async function lookAt(directory: string): Promise<RunFiles> {
  try {
    if (!(await isOwnFolder(directory))) throw new ClusterError('DATA', 'it has been removed');
    const [record, events, metrics] = await Promise.all(
      [RECORD_FILE, EVENTS_FILE, METRICS_FILE].map((name) => lstatIfThere(join(directory, name))),
    );
    if (record === undefined) throw new ClusterError('DATA', await whyNot(directory));
    const eventsBytes = events?.size ?? 0;
    if (eventsBytes > MAX_BOARD_EVENTS_BYTES)
      throw new ClusterError(
        'LIMIT',
        `events.jsonl has ${eventsBytes} bytes, more than ${MAX_BOARD_EVENTS_BYTES} ` +
          '(MAX_BOARD_EVENTS_BYTES)',
      );
    const stampOf = (stat: typeof record | undefined) =>
      stat === undefined ? '-' : `${stat.ino}.${stat.size}.${stat.mtimeMs}`;
    return {
      stamp: `${stampOf(record)} ${stampOf(events)}`,
      curve: stampOf(metrics),
      hasReport: await hasReport(directory),
      metricsBytes: metrics?.size ?? 0,
      eventsBytes,
    };
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Why a folder without run.json is not shown. */
async function whyNot(directory: string): Promise<string> {
  if ((await lstatIfThere(join(directory, SWEEP_FILE))) === undefined)
    return 'not a run: run.json is missing';
  return 'a sweep; start a board with --runs-dir and this folder to see its runs';
}

async function hasReport(directory: string): Promise<boolean> {
  const folder = await lstatIfThere(join(directory, ARTIFACTS_FOLDER));
  if (folder?.isDirectory() !== true) return false;
  return (await lstatIfThere(join(directory, ARTIFACTS_FOLDER, REPORT_FILE)))?.isFile() === true;
}

/**
 * The path of a file in artifacts/; undefined if that folder is missing. Rejects with DATA if it is
 * a link.
 */
export async function artifactPath(directory: string, file: string): Promise<string | undefined> {
  const folder = join(directory, ARTIFACTS_FOLDER);
  return (await isOwnFolder(folder)) ? join(folder, file) : undefined;
}
