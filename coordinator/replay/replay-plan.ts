import { firstLink } from '../../shared/files/chain.ts';
import type { Checkpoint } from '../../shared/files/checkpoint-file.ts';
import { datasetOfRun, otherDataset } from '../../shared/dataset/own-dataset.ts';
import { accepts } from '../../shared/arithmetic/model-shape.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import { samplesInTrainingFiles } from '../../shared/evaluation/evaluated-set.ts';
import {
  recordedCheckpoints,
  newestCheckpoint,
  type RecordedCheckpoints,
} from './recorded-checkpoints.ts';
import { recordedResults, differs, type RecordedResults } from './recorded-results.ts';
import { readInit } from '../run-directory/init-weights.ts';
import type { Tensors } from '../tensors.ts';
import { requireOwnArithmetic, type RunContents } from '../run-directory/run-contents.ts';

/** A run to recompute, and where to start. */
export interface Replay {
  readonly contents: RunContents;
  readonly recorded: RecordedResults;
  readonly checkpoints: RecordedCheckpoints;
  readonly start: Start;
}

export interface Start {
  readonly step: number;
  readonly chain: string;
  /** Trusted, since no step before it is recomputed; undefined at the beginning of the run. */
  readonly checkpoint: Checkpoint | undefined;
  /** The given weights at the beginning of the run; undefined if its seed draws them. */
  readonly init: Float32Array | undefined;
}

/**
 * Compares a run's files with each other, and chooses where the replay starts: at the newest
 * checkpoint at or before step `from`, or at the beginning without `from`. Rejects with DIFFERS or
 * NOT_REPLAYABLE.
 */
export async function planReplay(contents: RunContents, from: number | undefined): Promise<Replay> {
  requireOwnArithmetic(contents);
  const recorded = await recordedResults(contents);
  const checkpoints = recordedCheckpoints(contents, recorded);
  const checkpoint =
    from === undefined ? undefined : newestCheckpoint(checkpoints.files, from, contents);
  const step = checkpoint?.step ?? 0;
  const start: Start = {
    step,
    // An evaluation after this step is recomputed, which adds its link.
    chain: recorded.steps.get(step)?.line.chain ?? firstLink(contents.configuration),
    checkpoint,
    init: await initOf(contents),
  };
  return { contents, recorded, checkpoints, start };
}

/** The run's init.safetensors, which must be intact even if the replay starts at a checkpoint. */
async function initOf({
  directory,
  configuration,
}: RunContents): Promise<Float32Array | undefined> {
  try {
    return await readInit(directory, configuration);
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'DATA') throw differs(error.message);
    throw error;
  }
}

/** Sets the tensors to the state from which the replay starts. */
export function restoreStart(tensors: Tensors, { checkpoint, init }: Start): void {
  if (checkpoint !== undefined) tensors.restore(checkpoint);
  else if (init !== undefined) tensors.restoreWeights(init);
}

/** Throws NOT_REPLAYABLE for a different dataset, and DIFFERS for wrong sizes in run.json. */
export function checkDataset(
  { contents: { directory, configuration, record } }: Replay,
  dataset: Dataset,
): void {
  if (dataset.digest !== configuration.dataset)
    throw otherDataset(datasetOfRun(directory, record), dataset.digest, 'NOT_REPLAYABLE');
  const { testSamples, model } = configuration;
  const recorded = [samplesInTrainingFiles(configuration), testSamples, model.classes];
  const { train, test, rows, columns, classNames } = dataset;
  const actual = [train.samples, test.samples, classNames.length];
  if (recorded.some((size, i) => size !== actual[i]) || !accepts(model, rows, columns))
    throw differs(`the sizes in ${directory}/run.json differ from those of its dataset`);
}
