import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { draw, type Drawing } from '../../artifacts/report/draw-in-thread.ts';
import type { Subject } from '../../artifacts/report/subject.ts';
import type { Draw } from '../../coordinator/recorder-options.ts';
import { readEntry, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { makeDirectories, writeWhole } from '../../shared/disk/whole-file.ts';
import { configurationRecord } from '../../shared/configuration.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { assert, ClusterError, messageOf } from '../../shared/errors.ts';
import { readModel } from '../../shared/files/model-file.ts';
import { version } from '../package.ts';
import {
  ARTIFACTS_FOLDER,
  ARTIFACTS_MANIFEST,
  METRICS_FILE,
  MODEL_FILE,
} from '../../shared/files/run-layout.ts';

/** Draws the report and the pictures of a finished run for its coordinator. */
export function drawingOf(dataset: Dataset): Draw {
  return async ({ directory, record: { run, result, engine }, wrong }) => {
    assert(
      result !== undefined && engine !== undefined,
      'a finished run has a result and an engine',
    );
    const name = join(directory, MODEL_FILE);
    const confusion = result.test.confusion.map((row) => [...row]);
    const correct = confusion.reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
    return await draw({
      subject: subjectOf(
        { bytes: await readEntry(name, tensorFileLimit), name },
        run,
        dataset,
        'test',
        engine.description,
      ),
      score: { ...result.test, samples: dataset.test.samples, correct, confusion },
      wrong,
      images: dataset.test.images,
      metricsFile: join(directory, METRICS_FILE),
    });
  };
}

/** Whether a run's artifacts are complete. The manifest is written last. */
export function hasReport(directory: string): boolean {
  return existsSync(join(directory, ARTIFACTS_FOLDER, ARTIFACTS_MANIFEST));
}

/** The bytes of a model.safetensors file. */
export interface ModelBytes {
  readonly bytes: Uint8Array;
  /** The file's path or URI. */
  readonly name: string;
}

/** The model, engine and dataset of an evaluation, for its report. */
export function subjectOf(
  { bytes, name: file }: ModelBytes,
  run: string | undefined,
  { name, digest, rows, columns, classNames }: Dataset,
  split: 'test' | 'train',
  engine: Subject['engine'],
): Subject {
  const { step, chain, configuration } = readModel(bytes, file);
  return {
    version,
    run,
    engine,
    model: {
      sha256: createHash('sha256').update(bytes).digest('hex'),
      step,
      chain,
      configuration: configurationRecord(configuration),
    },
    dataset: { name, sha256: digest, split, rows, columns, classNames },
  };
}

/** The folder for an evaluation's artifacts. */
export type OutputFolder =
  /** The folder given by --out, which must be new or empty. */
  | { readonly named: string }
  /**
   * A new folder at this path, or one with the same name in the working directory if the path is
   * not writable.
   */
  | { readonly like: string };

/**
 * Writes an evaluation's artifacts, the manifest last, and resolves with their folder. Rejects with
 * USAGE or DISK.
 */
export async function writeArtifacts(output: OutputFolder, drawing: Drawing): Promise<string> {
  const files = await draw(drawing);
  const folder = 'named' in output ? output.named : await makeFolder(output.like);
  try {
    if ('named' in output) {
      await checkEmpty(folder);
      await makeDirectories(folder);
    }
    for (const { name, bytes } of files) await writeWhole(join(folder, name), bytes);
    return folder;
  } catch (error) {
    throw error instanceof ClusterError && error.code === 'USAGE'
      ? error
      : notWritten(folder, error);
  }
}

/** Rejects with USAGE if the folder is not empty or not usable. */
export async function checkEmpty(folder: string): Promise<void> {
  const entries = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw new ClusterError(
      'USAGE',
      `${folder} is not a usable folder (--out): ${messageOf(error)}`,
      {
        fix: 'choose a new folder',
        cause: error,
      },
    );
  });
  if (entries.length > 0)
    throw new ClusterError('USAGE', `${folder} is not empty (--out)`, {
      fix: 'choose a new folder',
    });
}

/** Creates a folder; appends a number if another evaluation has created one with this name. */
async function makeFolder(like: string): Promise<string> {
  for (let attempt = 1, folder = like; ; attempt++, folder = `${like}-${attempt}`) {
    try {
      await mkdir(folder);
      return folder;
    } catch (error) {
      const code = systemCode(error);
      if (code === 'EEXIST') continue;
      const here = basename(like);
      if ((code === 'EACCES' || code === 'EROFS') && like !== here) return await makeFolder(here);
      throw notWritten(folder, error);
    }
  }
}

function notWritten(folder: string, error: unknown): ClusterError {
  return new ClusterError(
    'DISK',
    `the report and the pictures could not be written to ${folder}: ${messageOf(error)}`,
    {
      fix: 'choose a different folder with --out DIR, or leave them out with --no-pictures',
      cause: error,
    },
  );
}
