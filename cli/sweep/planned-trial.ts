import type { Configuration } from '../../shared/configuration.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { checkFileSizes } from '../../shared/file-needs.ts';
import { checkCoordinatorMemory, checkWorkerMemory } from '../../shared/memory-needs.ts';
import { chooseLayers, modelFor } from '../models/choose-layers.ts';
import { checkModel, checkRunOptions, settleLength } from '../options/option-checks.ts';
import type { CoordinatorOptions, OptionKey } from '../options/options.ts';
import { optionsFrom } from '../options/parse-options.ts';
import { configurationOf } from '../runs/run-settings.ts';
import { TRIAL_COMMAND } from './sweep-keys.ts';
import type { SweepFile } from './sweep-file.ts';
import type { Trial } from './trials.ts';

/** A trial with the options of its run. */
export interface PlannedTrial extends Trial {
  readonly options: CoordinatorOptions;
  /** The options that the file or a recipe gives. */
  readonly explicit: ReadonlySet<OptionKey>;
}

/** The options of a trial's run. Throws USAGE, with file and line, if they contradict others. */
export function planTrial(file: SweepFile, trial: Trial): PlannedTrial {
  const given = new Map([...file.options, ...trial.values]);
  const { options, explicit, givenOf } = optionsFrom(TRIAL_COMMAND, given);
  // Reports and pictures can be drawn later, and only those of the best trial are of interest.
  const pictures = explicit.has('pictures') && options.pictures;
  const settled = settleLength({ ...options, pictures }, givenOf);
  checkRunOptions(settled, givenOf);
  checkModel(settled, givenOf);
  return { ...trial, options: settled, explicit };
}

export interface Capacity {
  readonly engine: EngineKind;
  readonly maxMemoryBytes: number;
}

/**
 * The configuration of a trial that begins anew, apart from the weights that it begins with. Throws
 * what its run would throw, so that a sweep does not fail hours later.
 */
export function configurationOfTrial(
  { options }: Pick<PlannedTrial, 'options'>,
  dataset: Dataset,
  { engine, maxMemoryBytes }: Capacity,
): Configuration {
  const model = modelFor(chooseLayers(options), {
    rows: dataset.rows,
    columns: dataset.columns,
    classes: dataset.classNames.length,
  });
  const configuration = configurationOf(options, model, dataset);
  checkCoordinatorMemory(configuration);
  checkFileSizes(configuration, totalSteps(configuration));
  checkWorkerMemory(configuration, engine, maxMemoryBytes);
  return configuration;
}
