import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readIfThere } from '../../coordinator/run-directory/run-contents.ts';
import { datasetOfRun, loadOwnDataset, type OwnDataset } from '../../shared/dataset/own-dataset.ts';
import { readEntry, readNamed, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { accepts } from '../../shared/arithmetic/model-shape.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import type { ImageSize } from '../../shared/dataset/image-size.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_MODEL_FILE_BYTES, MAX_RUN_FILE_BYTES } from '../../shared/limits.ts';
import { readModel, type ModelFile } from '../../shared/files/model-file.ts';
import { checkOwnModel } from '../../shared/files/own-model.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';
import { isStoreUri, parseStoreUri } from '../../artifacts/store/store-address.ts';
import type { RetryPolicy } from '../../artifacts/store/retry.ts';
import { findRun, readStored } from '../../artifacts/store/stored-run.ts';
import { chooseRun } from './choose-run.ts';
import { listRuns } from './run-overview.ts';
import { MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/** A trained model and its source. */
export interface ChosenModel extends ModelFile {
  /** The path of the model file, or its URI. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** The directory of its run, if that is on this machine. */
  readonly directory: string | undefined;
  /** The run.json of its run; undefined for a model file without one. */
  readonly record: RunRecord | undefined;
  /** The dataset that it was trained with. */
  readonly own: OwnDataset;
}

/** The size of a model's pictures, and the names of its classes. */
export interface Layout {
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
  /** False if the names are unknown and numbers are used instead. */
  readonly isNamed: boolean;
}

/** A model file that was found, and the run.json beside it. */
interface Found {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly record: { readonly name: string; readonly bytes: Uint8Array } | undefined;
  readonly directory: string | undefined;
}

/**
 * Finds the model of the run, file or URI given by `named`, or of the newest finished run in
 * `runs`. Rejects with USAGE if there is none, with DATA if the file is damaged, is not an
 * mnist-dist model or belongs to another run, and with STORE if a store fails.
 */
export async function chooseModel(
  named: string | undefined,
  runs: string,
  retryPolicy: RetryPolicy,
): Promise<ChosenModel> {
  const found =
    named !== undefined && isStoreUri(named)
      ? await fetchModel(named, retryPolicy)
      : await findModel(named, runs);
  const { name, bytes } = found;
  const model = readModel(bytes, name);
  const record = recordOf(found, model);
  const directory = record === undefined ? undefined : found.directory;
  return { name, bytes, directory, record, own: ownDatasetOf(name, model, record), ...model };
}

/** The run.json beside a model, if it belongs to the model's run. */
function recordOf({ name, bytes, record }: Found, model: ModelFile): RunRecord | undefined {
  if (record === undefined) return undefined;
  const parsed = parseRunRecord(Buffer.from(record.bytes).toString('utf8'), record.name);
  try {
    checkOwnModel({ name, bytes, ...model }, parsed);
    return parsed;
  } catch (error) {
    // A model file with a different name may be in the folder of a run to which it does not belong.
    if (basename(name) === MODEL_FILE) throw error;
    return undefined;
  }
}

function ownDatasetOf(
  name: string,
  { configuration }: ModelFile,
  record: RunRecord | undefined,
): OwnDataset {
  if (record !== undefined) return datasetOfRun(name, record);
  return {
    subject: name,
    digest: configuration.dataset,
    name: undefined,
    folder: undefined,
    classes: configuration.model.classes,
    classNames: undefined,
    conversion: {},
    imageSize: sizeOf(configuration.model),
  };
}

/** The size of a model's pictures; older versions did not record it. */
function sizeOf({ rows, columns }: ModelFile['configuration']['model']): ImageSize | undefined {
  return rows === 1 ? undefined : { rows, columns };
}

async function fetchModel(uri: string, retryPolicy: RetryPolicy): Promise<Found> {
  const run = await findRun(parseStoreUri(uri), retryPolicy);
  const bytes = await readStored(run, MODEL_FILE, MAX_MODEL_FILE_BYTES);
  if (bytes === undefined)
    throw new ClusterError(
      'USAGE',
      `the run at ${run.store.uri()} has no ${MODEL_FILE}: it has not finished`,
    );
  const record = await readStored(run, RECORD_FILE, MAX_RUN_FILE_BYTES);
  return {
    name: run.store.uri(MODEL_FILE),
    bytes,
    directory: undefined,
    record: record === undefined ? undefined : { name: run.store.uri(RECORD_FILE), bytes: record },
  };
}

async function findModel(named: string | undefined, runs: string): Promise<Found> {
  const { path, bytes } = await readModelFile(named ?? (await newestFinished(runs)), runs);
  const file = join(dirname(path), RECORD_FILE);
  const record = await readIfThere(file);
  return record === undefined
    ? { name: path, bytes, record, directory: undefined }
    : { name: path, bytes, record: { name: file, bytes: record }, directory: dirname(path) };
}

async function newestFinished(runs: string): Promise<string> {
  const found = (await listRuns(runs, Date.now())).runs.find(({ state }) => state === 'finished');
  if (found !== undefined) return found.directory;
  throw new ClusterError('USAGE', `there is no finished run in ${runs} (--runs-dir)`, {
    fix: 'train a model first (mnist-dist local), or choose an existing one',
  });
}

/** Reads the file `named`, or the model in the run directory `named`. */
async function readModelFile(
  named: string,
  runs: string,
): Promise<{ path: string; bytes: Buffer }> {
  const found = await stat(named).catch(() => undefined);
  const isEntry = found === undefined || found.isDirectory();
  const path = isEntry ? join(chooseRun(named, runs), MODEL_FILE) : named;
  try {
    return { path, bytes: await (isEntry ? readEntry : readNamed)(path, tensorFileLimit) };
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    if (systemCode(error) !== 'ENOENT')
      throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    throw new ClusterError('USAGE', `there is no ${path}: the run has not finished`, {
      fix: 'resume the run (--resume), or choose another one',
      cause: error,
    });
  }
}

/**
 * The layout from the dataset in `data`, or else from the model's run, or else from its dataset if
 * the package or the cache has it. Without any of these, the model's own rows and columns count,
 * and classes are numbers. Rejects with DATA if the dataset does not fit the model, or if an older
 * version did not record rows and columns.
 */
export async function layoutOf(model: ChosenModel, data: string | undefined): Promise<Layout> {
  const { own, record } = model;
  if (data !== undefined) return layoutFrom(model, await loadOwnDataset(own, data), true);
  if (record !== undefined && own.classNames !== undefined) {
    const { rows, columns } = record.dataset;
    if (accepts(model.configuration.model, rows, columns))
      return { rows, columns, classNames: own.classNames, isNamed: true };
  }
  const dataset = await loadOwnDataset(own, undefined).catch(ignoreData);
  return dataset === undefined
    ? guessedLayout(model)
    : layoutFrom(model, dataset, dataset.name !== undefined);
}

/** The warning that the names of a model's classes are unknown. */
export function unnamedText({ name }: ChosenModel): string {
  return `${name} has no run.json beside it, so its classes are numbers (--data DIR adds names)`;
}

function layoutFrom(model: ChosenModel, dataset: Dataset, isNamed: boolean): Layout {
  checkFit(model, dataset);
  const { rows, columns, classNames } = dataset;
  return { rows, columns, classNames, isNamed };
}

/** Throws DATA unless the dataset has as many pixels and classes as the model expects. */
export function checkFit(
  { name, configuration }: Pick<ChosenModel, 'name' | 'configuration'>,
  { rows, columns, classNames }: Dataset,
): void {
  const { model } = configuration;
  if (accepts(model, rows, columns) && model.classes === classNames.length) return;
  throw new ClusterError(
    'DATA',
    `${name} has ${model.rows} x ${model.columns} pixels and ${model.classes} classes; ` +
      `the dataset has ${rows} x ${columns} pixels and ${classNames.length} classes`,
    { fix: 'set --data to a dataset like the one that the model was trained with' },
  );
}

/** Ignores a missing dataset, whose pictures are not needed. */
function ignoreData(error: unknown): undefined {
  if (error instanceof ClusterError && error.code === 'DATA') return undefined;
  throw error;
}

function guessedLayout({ name, configuration }: ChosenModel): Layout {
  const { rows, columns, classes } = configuration.model;
  // Older versions did not record them; see withLayers in shared/model-schema.ts.
  if (rows === 1) {
    throw new ClusterError(
      'DATA',
      `${name} has ${columns} pixels, but the number of rows and columns is unknown`,
      {
        fix:
          `put the ${RECORD_FILE} of its run beside it, ` +
          "or set --data DIR to its run's dataset",
      },
    );
  }
  const classNames = Array.from({ length: classes }, (_, i) => String(i));
  return { rows, columns, classNames, isNamed: false };
}
