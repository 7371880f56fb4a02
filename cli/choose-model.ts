import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readIfThere } from '../coordinator/evidence.ts';
import { readEntry, readNamed, tensorFileLimit } from '../data/regular-file.ts';
import { systemCode } from '../data/system-error.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { MAX_MODEL_FILE_BYTES, MAX_RUN_FILE_BYTES } from '../shared/limits.ts';
import { readModel, type ModelFile } from '../shared/model-file.ts';
import { parseRunRecord } from '../shared/run-schema.ts';
import { isStoreUri, parseStoreUri } from '../store/address.ts';
import { RECORD } from '../store/inventory.ts';
import type { Patience } from '../store/retry.ts';
import { findRun, readStored } from '../store/stored-run.ts';
import { chooseRun } from './choose-run.ts';
import { listRuns } from './run-overview.ts';

/** A trained model and what its pictures and answers are. */
export interface ChosenModel extends ModelFile {
  /** The path of its file, or its URI. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** The directory of its run, where that is on this machine. */
  readonly directory: string | undefined;
  /** The id of its run; undefined for a file that lies by itself. */
  readonly run: string | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
}

const MODEL = 'model.safetensors';

/** As it was found, and the run.json beside it. */
interface Found {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly record: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  readonly directory: string | undefined;
}

/**
 * The model of the run, file or URI that was named, or of the newest finished run in `runs`. Rejects with USAGE where there is
 * none, with DATA where the file is damaged or no model of ours, with STORE where a store does not give it.
 */
export async function chooseModel(
  named: string | undefined,
  runs: string,
  patience: Patience,
): Promise<ChosenModel> {
  const found =
    named !== undefined && isStoreUri(named)
      ? await fetchModel(named, patience)
      : await findModel(named, runs);
  const { name, bytes, directory } = found;
  const model = readModel(bytes, name);
  return { name, bytes, directory, ...model, ...pictureOf(found, model) };
}

async function fetchModel(uri: string, patience: Patience): Promise<Found> {
  const run = await findRun(parseStoreUri(uri), patience);
  const bytes = await readStored(run, MODEL, MAX_MODEL_FILE_BYTES);
  if (bytes === undefined)
    throw new ClusterError('USAGE', `the run at ${run.store.uri()} has no ${MODEL}: it was not finished`);
  const record = await readStored(run, RECORD, MAX_RUN_FILE_BYTES);
  return {
    ...{ name: run.store.uri(MODEL), bytes, directory: undefined },
    record: record === undefined ? undefined : { name: run.store.uri(RECORD), bytes: record },
  };
}

async function findModel(named: string | undefined, runs: string): Promise<Found> {
  const { path, bytes } = await readModelFile(named ?? (await newestFinished(runs)), runs);
  const file = join(dirname(path), RECORD);
  const record = await readIfThere(file);
  return record === undefined
    ? { name: path, bytes, record, directory: undefined }
    : { name: path, bytes, record: { name: file, bytes: record }, directory: dirname(path) };
}

async function newestFinished(runs: string): Promise<string> {
  const found = (await listRuns(runs, Date.now())).runs.find(({ state }) => state === 'finished');
  if (found !== undefined) return found.directory;
  throw new ClusterError('USAGE', `there is no finished run in ${runs} (--runs-dir)`, {
    fix: 'train one first, mnist-dist local, or name the model of another one',
  });
}

/** `named` itself where it is no folder, else the model of that run. */
async function readModelFile(named: string, runs: string): Promise<{ path: string; bytes: Buffer }> {
  const found = await stat(named).catch(() => undefined);
  const isEntry = found === undefined || found.isDirectory();
  const path = isEntry ? join(chooseRun(named, runs), MODEL) : named;
  try {
    return { path, bytes: await (isEntry ? readEntry : readNamed)(path, tensorFileLimit) };
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    if (systemCode(error) !== 'ENOENT')
      throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
    throw new ClusterError('USAGE', `there is no ${path}: that run has not ended in good order`, {
      fix: 'go on with it, --resume, or name another one',
      cause: error,
    });
  }
}

/** As the run says whose file it is; of a file alone, what its inputs and classes leave to guess. */
function pictureOf(
  { name, record }: Found,
  { configuration }: ModelFile,
): Pick<ChosenModel, 'run' | 'rows' | 'columns' | 'classNames'> {
  const said = record && parseRunRecord(Buffer.from(record.bytes).toString('utf8'), record.name);
  if (said?.dataset.sha256 === configuration.dataset) {
    const { rows, columns, class_names: classNames } = said.dataset;
    return { run: said.run, rows, columns, classNames };
  }
  const { inputs, classes } = configuration.model;
  const side = Math.sqrt(inputs);
  if (Number.isInteger(side))
    return {
      ...{ run: undefined, rows: side, columns: side },
      classNames: Array.from({ length: classes }, (_, i) => String(i)),
    };
  throw new ClusterError('DATA', `${name} does not say how its pictures of ${inputs} pixels are laid out`, {
    fix: `put the ${RECORD} of its run beside it`,
  });
}
