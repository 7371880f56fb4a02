import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isOwnFolder, readEntry, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_STORED_FILES } from '../../shared/limits.ts';
import {
  artifactsManifestSchema,
  type ArtifactsManifest,
} from '../../shared/files/artifacts-manifest.ts';
import { readModel } from '../../shared/files/model-file.ts';
import { checkOwnModel } from '../../shared/files/own-model.ts';
import { parseRunRecord, runRecordSchema } from '../../shared/files/run-schema.ts';
import { contentTypeOf, type ManifestEntry, type RunListing } from './manifest.ts';
import { isSegment, RESULT_FILES } from './store-names.ts';
import { digestPlain, streamPlain } from './plain-file.ts';
import type { Content } from './store.ts';
import { shortDigest } from '../../shared/printable.ts';
import {
  ARTIFACTS_FOLDER,
  ARTIFACTS_MANIFEST,
  MODEL_FILE,
  RECORD_FILE,
} from '../../shared/files/run-layout.ts';

/** The state of a run whose result is final. */
export const FINISHED = 'finished';
/** The last file that a run writes, and the last of its own files that is sent to a store. */
export const LAST_FILE = `${ARTIFACTS_FOLDER}/${ARTIFACTS_MANIFEST}`;

/** A file of a run, with its content. */
export type RunFile = ManifestEntry & Content;

/** The results of a run, each read once. */
export interface Inventory extends RunListing {
  /** The state in run.json: finished, interrupted, ... */
  readonly state: string;
  readonly files: readonly RunFile[];
}

const identitySchema = z.object({
  run: runRecordSchema.shape.run,
  started: z.iso.datetime(),
  state: z.string(),
  model: z.object({ sha256: z.string() }).optional(),
});

/**
 * Reads the results in a run directory and computes their SHA-256. Leaves out hidden files and
 * results that do not exist (yet). Rejects with USAGE if the directory is not a run, with DATA if a
 * file cannot be read or an artifact differs from artifacts/manifest.json, and with STORE for a
 * link, a name that no store accepts, or more than a store accepts.
 */
export async function readInventory(directory: string): Promise<Inventory> {
  try {
    const files: RunFile[] = [];
    for (const name of [...RESULT_FILES, ...(await artifactsIn(directory))]) {
      const file = await runFile(directory, name);
      if (file !== undefined) files.push(file);
    }
    if (files.length > MAX_STORED_FILES)
      throw new ClusterError(
        'STORE',
        `${directory} has more than ${MAX_STORED_FILES} files to send`,
      );
    await checkArtifacts(directory, files);
    const text = await recordOf(directory);
    const { run, started, state, model } = identityIn(text, join(directory, RECORD_FILE));
    await checkModel(directory, files, text, model?.sha256);
    return { run, started, state, files };
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    throw new ClusterError('DATA', `${directory} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** The state in the text of a run.json; undefined if the text is not a run.json. */
export function stateIn(record: string): string | undefined {
  try {
    return identitySchema.parse(JSON.parse(record)).state;
  } catch {
    return undefined;
  }
}

async function recordOf(directory: string): Promise<string> {
  const path = join(directory, RECORD_FILE);
  try {
    return (await readEntry(path)).toString('utf8');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    throw new ClusterError('USAGE', `${directory} is not a run: ${path} does not exist`, {
      fix: 'pass a run directory, such as runs/ID',
    });
  }
}

function identityIn(text: string, path: string): z.infer<typeof identitySchema> {
  try {
    return identitySchema.parse(JSON.parse(text));
  } catch (error) {
    throw new ClusterError('DATA', `${path} is not a run.json`, { cause: error });
  }
}

/**
 * Rejects with DATA if another run's model was copied over the run's own. A run.json from an older
 * version does not contain the model's digest; in that case, settings, step and chain are compared.
 */
async function checkModel(
  directory: string,
  files: readonly RunFile[],
  record: string,
  recorded: string | undefined,
): Promise<void> {
  const model = files.find(({ name }) => name === MODEL_FILE);
  if (model === undefined || model.sha256 === recorded) return;
  const name = join(directory, MODEL_FILE);
  if (recorded === undefined) {
    const bytes = await readEntry(name, tensorFileLimit);
    const { configuration, step, chain } = readModel(bytes, name);
    const own = parseRunRecord(record, join(directory, RECORD_FILE));
    return checkOwnModel({ name, bytes, configuration, step, chain }, own);
  }
  throw new ClusterError(
    'DATA',
    `${name} is not the model that run.json records: SHA-256 ${shortDigest(model.sha256)} ` +
      `instead of ${shortDigest(recorded)}`,
    { fix: "restore the run's own file" },
  );
}

/**
 * Rejects with DATA if an artifact differs from artifacts/manifest.json, which readers trust. A run
 * without pictures has no such manifest, so its artifacts are sent unchecked.
 */
async function checkArtifacts(directory: string, files: readonly RunFile[]): Promise<void> {
  if (!files.some(({ name }) => name === LAST_FILE)) return;
  const path = join(directory, LAST_FILE);
  for (const { name, size, sha256 } of await namedIn(path)) {
    const file = files.find((file) => file.name === `${ARTIFACTS_FOLDER}/${name}`);
    if (file?.size === size && file.sha256 === sha256) continue;
    const what =
      file === undefined ? 'is missing, but is listed in' : 'does not match its entry in';
    throw new ClusterError('DATA', `${join(directory, ARTIFACTS_FOLDER, name)} ${what} ${path}`, {
      fix: 'restore the file, or remove the manifest to send the artifacts unchecked',
    });
  }
}

async function namedIn(path: string): Promise<ArtifactsManifest['files']> {
  const text = (await readEntry(path)).toString('utf8');
  try {
    return artifactsManifestSchema.parse(JSON.parse(text)).files;
  } catch (error) {
    throw new ClusterError('DATA', `${path} is not an artifacts manifest`, {
      fix: 'restore it, or remove it to send the artifacts unchecked',
      cause: error,
    });
  }
}

async function artifactsIn(directory: string): Promise<string[]> {
  const folder = join(directory, ARTIFACTS_FOLDER);
  if (!(await isOwnFolder(folder, 'STORE'))) return [];
  const entries = await readdir(folder, { withFileTypes: true });
  const shown = entries.filter((entry) => !entry.name.startsWith('.') && !entry.isDirectory());
  return shown.map(({ name }) => {
    if (isSegment(name)) return `${ARTIFACTS_FOLDER}/${name}`;
    throw new ClusterError(
      'STORE',
      `${JSON.stringify(join(folder, name))} has a name that no store accepts`,
      {
        fix: 'rename or move it; only letters, digits, ".", "_" and "-" are allowed',
      },
    );
  });
}

async function runFile(directory: string, name: string): Promise<RunFile | undefined> {
  const path = join(directory, name);
  try {
    const { size, sha256 } = await digestPlain(path);
    return { name, size, sha256, type: contentTypeOf(name), open: () => streamPlain(path, size) };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
