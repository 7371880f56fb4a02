/**
 * The sets on which a run evaluates its model, in the order of the evaluations after one step. With
 * a validation split, the validation set is evaluated after each epoch and the test set once, after
 * the last step. Without one, the test set is evaluated after each epoch.
 */
export const evaluatedSets = ['validation', 'test'] as const;
export type EvaluatedSet = (typeof evaluatedSets)[number];

/** The last step after which each set was evaluated; 0 if it never was. */
export type EvaluatedSteps = Readonly<Record<EvaluatedSet, number>>;

export const notEvaluated: EvaluatedSteps = { validation: 0, test: 0 };

/** The sizes of the two sets; a run without a validation split has no `validationSamples`. */
export interface SetSizes {
  readonly validationSamples?: number | undefined;
  readonly testSamples: number;
}

/** The set that a run evaluates after each epoch. */
export function setAfterEpochs({ validationSamples }: Pick<SetSizes, 'validationSamples'>) {
  return validationSamples === undefined ? 'test' : 'validation';
}

/** The number of samples in the training files: the training set and then the validation set. */
export function samplesInTrainingFiles({
  validationSamples = 0,
  trainSamples,
}: Pick<SetSizes, 'validationSamples'> & { readonly trainSamples: number }): number {
  return trainSamples + validationSamples;
}

/** The number of samples in a set. */
export function samplesIn(set: EvaluatedSet, { validationSamples, testSamples }: SetSizes): number {
  return set === 'test' ? testSamples : (validationSamples ?? 0);
}
