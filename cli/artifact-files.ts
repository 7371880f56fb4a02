import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Evaluation, Subject } from '../artifacts/subject.ts';
import { readIfThere } from '../coordinator/evidence.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError, makeDirectories, writeWhole } from '../data/whole-file.ts';
import { parseMisclassified } from '../observation/mistakes.ts';
import { configurationRecord } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset.ts';
import { ClusterError } from '../shared/errors.ts';
import { readMetrics } from '../shared/metrics.ts';
import { readModel } from '../shared/model-file.ts';
import type { RunRecord } from '../shared/run-schema.ts';
import { version } from './package.ts';

/**
 * Draws what there is to see of a run that is finished, from its files, into its artifacts/, the manifest last. Rejects with
 * DISK, or with DATA where a file of the run cannot be read.
 */
export async function writeRunArtifacts(
  directory: string,
  { run, result, engine }: RunRecord,
  dataset: Dataset,
): Promise<void> {
  const names = ['model.safetensors', 'metrics.jsonl', join('artifacts', 'misclassified.jsonl')];
  const [model, metrics, mistakes] = await Promise.all(
    names.map((name) => readIfThere(join(directory, name))),
  );
  if (model === undefined || result === undefined || engine === undefined) return;
  const confusion = result.test.confusion.map((row) => [...row]);
  const correct = confusion.reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
  await draw(join(directory, 'artifacts'), {
    subject: subjectOf(
      { bytes: model, name: join(directory, 'model.safetensors') },
      run,
      dataset,
      'test',
      engine.description,
    ),
    score: { ...result.test, samples: dataset.test.samples, correct, confusion },
    wrong: parseMisclassified(mistakes?.toString('utf8') ?? ''),
    images: dataset.test.images,
    metrics: readMetrics(metrics?.toString('utf8') ?? '').lines,
  });
}

/** A model.safetensors as it was read. */
export interface ModelBytes {
  readonly bytes: Uint8Array;
  /** Its path or URI. */
  readonly name: string;
}

/** Who was asked, and about what. */
export function subjectOf(
  { bytes, name: file }: ModelBytes,
  run: string | undefined,
  { name, digest, rows, columns, classNames }: Dataset,
  split: 'test' | 'train',
  engine: Subject['engine'],
): Subject {
  const { step, chain, configuration } = readModel(bytes, file);
  return {
    ...{ version, run, engine },
    model: {
      sha256: createHash('sha256').update(bytes).digest('hex'),
      ...{ step, chain, configuration: configurationRecord(configuration) },
    },
    dataset: { name, sha256: digest, split, rows, columns, classNames },
  };
}

/** A folder for the artifacts of an evaluation: new, or empty. Rejects with USAGE where there is something in it, or DISK. */
export async function claimFolder(folder: string): Promise<void> {
  const there = await readdir(folder).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw diskError(folder, error);
  });
  if (there.length > 0)
    throw new ClusterError('USAGE', `${folder} is not empty (--out)`, { fix: 'name a new folder' });
  await makeDirectories(folder);
}

/** Writes all artifacts into a folder that exists; what draws them is loaded only now. */
export async function draw(folder: string, evaluation: Evaluation): Promise<void> {
  const { artifactsOf } = await import('../artifacts/artifacts.ts');
  for (const { name, bytes } of await artifactsOf(evaluation)) await writeWhole(join(folder, name), bytes);
}
