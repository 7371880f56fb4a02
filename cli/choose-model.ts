import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { DEFAULT_MAX_MODEL_BYTES } from '../shared/limits.ts';
import { readModel, type ModelFile } from '../shared/model-file.ts';
import { chooseRun, newestFinishedRun } from './choose-run.ts';

export interface ChosenModel {
  /** The model.safetensors. */
  readonly path: string;
  /** The run's directory; undefined for a file that was named. */
  readonly run: string | undefined;
  readonly model: ModelFile;
}

/**
 * The model of the run that was named, or the model.safetensors itself; without a name that of the newest finished run in `runs`.
 * Throws USAGE where there is none, DATA or LIMIT for a file that is no model of ours.
 */
export function chooseModel(named: string | undefined, runs: string): ChosenModel {
  const isFile = named !== undefined && statSync(named, { throwIfNoEntry: false })?.isFile() === true;
  const run = isFile ? undefined : named === undefined ? newestFinishedRun(runs) : chooseRun(named, runs);
  const path = run === undefined ? (named ?? '') : join(run, 'model.safetensors');
  if (!existsSync(path))
    throw new ClusterError('USAGE', `${run} has no model: it has not been finished`, {
      fix: `finish it with mnist-dist local --resume ${run}, or name another run`,
    });
  return { path, run, model: readModel(readBounded(path), path) };
}

function readBounded(path: string): Buffer {
  const { size } = statSync(path);
  if (size > DEFAULT_MAX_MODEL_BYTES)
    throw new ClusterError(
      'LIMIT',
      `${path} has ${size} bytes; a model has at most ${DEFAULT_MAX_MODEL_BYTES}`,
    );
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}
