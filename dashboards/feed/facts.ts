import {
  configurationRecord,
  shownSettings,
  type Configuration,
} from '../../shared/configuration.ts';
import { learningRateOf, shownRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { setAfterEpochs } from '../../shared/evaluation/evaluated-set.ts';
import { modelRows, modelText } from '../../shared/arithmetic/model-text.ts';
import { stepsPerEpoch, totalEpochs, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { SHOWN_RATES } from '../../shared/limits/page.ts';
import type { StepValue } from './api.ts';
import type { RunFacts } from './board.ts';
import type { MetricsSettings } from '../metrics/run-metrics.ts';

/** The description of a dataset, without its samples. */
export interface DatasetFacts {
  readonly name?: string | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
}

export function runFacts(
  configuration: Configuration,
  dataset: DatasetFacts,
  { version, isLive, command }: Pick<RunFacts, 'version' | 'isLive' | 'command'>,
): RunFacts {
  const { rows, columns, classNames } = dataset;
  return {
    version,
    isLive,
    command,
    rows,
    columns,
    classNames,
    model: configuration.model,
    configuration: settingsOf(configuration, dataset),
    rates: ratesOf(configuration),
    epochs: totalEpochs(configuration),
    stepsPerEpoch: stepsPerEpoch(configuration),
    totalSteps: totalSteps(configuration),
    evaluatedSet: setAfterEpochs(configuration),
  };
}

/** The learning rate at evenly spaced steps, from the first to the last. */
function ratesOf(configuration: Configuration): StepValue[] {
  const last = totalSteps(configuration);
  const count = Math.min(SHOWN_RATES, last);
  const steps = Array.from({ length: count }, (_, i) =>
    count === 1 ? 1 : 1 + Math.round((i * (last - 1)) / (count - 1)),
  );
  return steps.map((step) => [step, learningRateOf(configuration, step)]);
}

export function metricsSettings(
  configuration: Configuration,
  { name, classNames }: DatasetFacts,
  version: string,
): MetricsSettings {
  const { batchSize, virtualShards, seed, model } = configuration;
  return {
    learningRateOf: (step) => learningRateOf(configuration, step),
    shownRateOf: (step) => shownRateOf(configuration, step),
    epochs: totalEpochs(configuration),
    totalSteps: totalSteps(configuration),
    classNames,
    info: {
      version,
      dataset: name ?? configuration.dataset.slice(0, 12),
      model: modelText(model),
      batch_size: String(batchSize),
      virtual_shards: String(virtualShards),
      seed: String(seed),
    },
  };
}

/** The configuration as the page shows it, with the names used in run.json. */
function settingsOf(
  configuration: Configuration,
  { name }: DatasetFacts,
): (readonly [string, string])[] {
  const { dataset, model, ...rest } = configurationRecord(configuration);
  return [
    ['dataset', `${name === undefined ? '' : `${name} `}(${dataset.slice(0, 12)})`],
    ...modelRows(model),
    ...shownSettings(rest),
  ];
}
