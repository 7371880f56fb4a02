import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readIfThere } from '../coordinator/evidence.ts';
import { systemCode } from '../data/system-error.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { MAX_MODEL_FILE_BYTES } from '../shared/limits.ts';
import { readModel, type ModelFile } from '../shared/model-file.ts';
import { parseRunRecord } from '../shared/run-schema.ts';
import { chooseRun } from './choose-run.ts';
import { listRuns } from './run-overview.ts';

/** A trained model and what its pictures and answers are. */
export interface ChosenModel extends ModelFile {
  /** Its file. */
  readonly path: string;
  /** The id of its run; undefined for a file that lies by itself. */
  readonly run: string | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
}

/**
 * The model of the run or file that was named, or of the newest finished run in `runs`. Rejects with USAGE where there is
 * none, with DATA where the file is damaged or no model of ours.
 */
export async function chooseModel(named: string | undefined, runs: string): Promise<ChosenModel> {
  const path = await fileOf(named ?? (await newestFinished(runs)), runs);
  const model = readModel(await readBounded(path), path);
  return { path, ...model, ...(await pictureOf(path, model)) };
}

async function newestFinished(runs: string): Promise<string> {
  const found = (await listRuns(runs, Date.now())).runs.find(({ state }) => state === 'finished');
  if (found !== undefined) return found.directory;
  throw new ClusterError('USAGE', `there is no finished run in ${runs} (--runs-dir)`, {
    fix: 'train one first, mnist-dist local, or name the model of another one',
  });
}

/** `named` itself where it is a file, else the model of that run. */
async function fileOf(named: string, runs: string): Promise<string> {
  const found = await stat(named).catch(() => undefined);
  return found?.isFile() === true ? named : join(chooseRun(named, runs), 'model.safetensors');
}

async function readBounded(path: string): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size <= MAX_MODEL_FILE_BYTES) return await readFile(path);
    throw new ClusterError(
      'LIMIT',
      `${path} has ${size} bytes; ${MAX_MODEL_FILE_BYTES} are allowed (MAX_MODEL_FILE_BYTES)`,
    );
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
async function pictureOf(
  path: string,
  { configuration }: ModelFile,
): Promise<Pick<ChosenModel, 'run' | 'rows' | 'columns' | 'classNames'>> {
  const file = join(dirname(path), 'run.json');
  const text = (await readIfThere(file))?.toString('utf8');
  const record = text === undefined ? undefined : parseRunRecord(text, file);
  if (record?.dataset.sha256 === configuration.dataset) {
    const { rows, columns, class_names: classNames } = record.dataset;
    return { run: record.run, rows, columns, classNames };
  }
  const { inputs, classes } = configuration.model;
  const side = Math.sqrt(inputs);
  if (Number.isInteger(side))
    return {
      ...{ run: undefined, rows: side, columns: side },
      classNames: Array.from({ length: classes }, (_, i) => String(i)),
    };
  throw new ClusterError('DATA', `${path} does not say how its pictures of ${inputs} pixels are laid out`, {
    fix: 'put the run.json of its run beside it',
  });
}
