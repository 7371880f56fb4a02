import type { Configuration } from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import { samplesInTrainingFiles } from '../../shared/evaluation/evaluated-set.ts';

type Split = Pick<Configuration, 'validationSamples' | 'trainSamples'>;

/**
 * Splits the samples of the training files as Keras does: the training set is the first
 * floor(samples x (1 - split)) of them, the validation set the rest. Throws USAGE if one of the two
 * would be empty.
 */
export function splitSamples(samples: number, split: number | undefined): Split {
  if (split === undefined) return { trainSamples: samples };
  const trainSamples = Math.floor(samples * (1 - split));
  const validationSamples = samples - trainSamples;
  if (trainSamples > 0 && validationSamples > 0) return { validationSamples, trainSamples };
  const which = trainSamples === 0 ? 'training' : 'validation';
  throw new ClusterError(
    'USAGE',
    `--validation-split ${split} leaves no sample in the ${which} set: the training files have ` +
      `${samples} samples`,
    { fix: `use a ${which === 'training' ? 'smaller' : 'larger'} --validation-split` },
  );
}

/** The shortest split that gives the recorded sets; undefined if the run has no validation set. */
export function recordedSplit(recorded: Split): number | undefined {
  const { validationSamples, trainSamples } = recorded;
  if (validationSamples === undefined) return undefined;
  const samples = samplesInTrainingFiles(recorded);
  // Rounding may move the last sample of a set to the other one; this fraction is in the middle.
  const middle = (validationSamples - 0.5) / samples;
  const short = [1, 2, 3, 4, 5, 6, 7, 8]
    .map((decimals) => Number((validationSamples / samples).toFixed(decimals)))
    .find((split) => Math.floor(samples * (1 - split)) === trainSamples);
  return short ?? middle;
}

/** The given split or, if it gives the recorded sets, the split that `recordedSplit` returns. */
export function comparableSplit(split: number | undefined, recorded: Split): number | undefined {
  if (split === undefined || recorded.validationSamples === undefined) return split;
  const samples = samplesInTrainingFiles(recorded);
  const isSame = Math.floor(samples * (1 - split)) === recorded.trainSamples;
  return isSame ? recordedSplit(recorded) : split;
}
