import { randomInt } from 'node:crypto';
import { resolve } from 'node:path';
import type { RunSettings } from '../../coordinator/start-coordinator.ts';
import type { Audit } from '../../coordinator/decisions/state.ts';
import { configurationSchema, type Configuration } from '../../shared/configuration.ts';
import { augmentText, isAugmentable, isAugmenting } from '../../shared/arithmetic/augment.ts';
import { MAX_AUGMENTED_PIXELS } from '../../shared/limits/augment.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { formatImageSize } from '../../shared/dataset/image-size.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { MAX_COMMAND_CHARACTERS } from '../../shared/limits/page.ts';
import { MIN_EPSILON } from '../../shared/limits.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import { stepsPerEpoch, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { checkExcess } from '../models/choose-layers.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { updateOf, updateOptions } from './recipe-options.ts';
import { recordedSplit, splitSamples } from './validation-split.ts';

type Recipe = Pick<Configuration, 'batchSize' | 'virtualShards' | 'seed'>;

/** The settings that have the same form in the options and in the configuration. */
function commonRecipe({ batchSize, virtualShards, seed }: Recipe): Recipe {
  return { batchSize, virtualShards, seed };
}

/** The options that give a recorded run's recipe, except its model. */
export function recipeOptions(recorded: Configuration) {
  const { earlyStopping, keepBest, minDelta } = recorded;
  return {
    ...commonRecipe(recorded),
    ...updateOptions(recorded),
    validationSplit: recordedSplit(recorded),
    earlyStopping,
    keepBest: keepBest === true,
    minDelta,
  };
}

/** What a new run must have in addition; files of older versions are not checked for it. */
const newConfigurationSchema = configurationSchema.refine(
  ({ optimizer }) => optimizer.kind === 'sgd' || Math.fround(optimizer.epsilon) >= MIN_EPSILON,
  { message: 'must be at least 2^-126', path: ['optimizer', 'epsilon'] },
);

/**
 * The configuration of a run with this model, on which its bytes depend; `init` is the digest of
 * the weights that it begins with. Throws USAGE or LIMIT.
 */
export function configurationOf(
  options: CoordinatorOptions,
  model: ModelShape,
  dataset: Dataset,
  init?: string,
): Configuration {
  const { epochs, steps, earlyStopping, keepBest, minDelta } = options;
  checkExcess(model, options);
  checkAugment(options, model);
  const recipe = commonRecipe(options);
  const length = { epochs, ...(steps === undefined ? {} : { steps }) };
  const split = splitSamples(dataset.train.samples, options.validationSplit);
  const schedule = { ...recipe, ...length, ...split };
  return newConfigurationSchema.parse({
    dataset: dataset.digest,
    ...recipe,
    ...updateOf(options, {
      stepsPerEpoch: stepsPerEpoch(schedule),
      totalSteps: totalSteps(schedule),
    }),
    ...(init === undefined ? {} : { init }),
    ...length,
    ...(earlyStopping === undefined ? {} : { earlyStopping }),
    ...(keepBest ? { keepBest } : {}),
    ...(earlyStopping === undefined && !keepBest ? {} : { minDelta: minDelta ?? 0 }),
    model,
    ...split,
    testSamples: dataset.test.samples,
  });
}

/** Throws LIMIT if the images are too large to be augmented. */
function checkAugment({ augment }: Pick<CoordinatorOptions, 'augment'>, model: ModelShape): void {
  if (!isAugmenting(augment) || isAugmentable(model)) return;
  throw new ClusterError(
    'LIMIT',
    `--augment ${augmentText(augment)} does not work for images of ${model.rows} x ` +
      `${model.columns} pixels, more than ${MAX_AUGMENTED_PIXELS} in a row or a column ` +
      '(MAX_AUGMENTED_PIXELS)',
    { fix: 'leave out --augment, or use smaller images' },
  );
}

/** The settings of a run that are not part of its configuration. */
export function runSettings(
  options: CoordinatorOptions,
  command: string,
): Omit<RunSettings, 'configuration' | 'dataset' | 'token' | 'version'> {
  const { host, port, runsDir, runId, resume, takeOver, checkpointEvery, keep } = options;
  const { minWorkers, maxWorkers, rdzvTimeout, allowMixedEngines, sharedMemory, spin } = options;
  return {
    host,
    port,
    runsDir,
    runId,
    resume,
    takeOver,
    checkpointEvery,
    keepCheckpoints: keep,
    minWorkers,
    maxWorkers,
    allowMixedEngines,
    sharedMemory,
    spin,
    rendezvousMilliseconds: 1000 * rdzvTimeout,
    launch: launchOf(options, command),
    startWorkers: startWorkersOf(options),
    audit: auditOf(options),
  };
}

/** The number of workers to wait for before the first step. */
export function startWorkersOf({ startWorkers, minWorkers }: CoordinatorOptions): number {
  return Math.max(startWorkers ?? 1, minWorkers);
}

/** The audit with a new random key, which never leaves this process. */
function auditOf({ audit: rate }: CoordinatorOptions): Audit | undefined {
  return rate === 0 ? undefined : { rate, key: [randomInt(2 ** 32), randomInt(2 ** 32)] };
}

/** The launch options for run.json; none of them is a secret. */
function launchOf(options: CoordinatorOptions, command: string): RunRecord['launch'] {
  const {
    host,
    port,
    minWorkers,
    maxWorkers,
    rdzvTimeout,
    audit,
    allowMixedEngines,
    sharedMemory,
    insecure,
    data,
    imageSize,
    testSplit,
  } = options;
  return {
    command: command.slice(0, MAX_COMMAND_CHARACTERS),
    host,
    port,
    min_workers: minWorkers,
    start_workers: startWorkersOf(options),
    max_workers: maxWorkers,
    rdzv_timeout: rdzvTimeout,
    audit,
    allow_mixed_engines: allowMixedEngines,
    shared_memory: sharedMemory,
    insecure,
    // Where later commands find the dataset; null means MNIST from the package.
    data: data === undefined ? null : resolve(data),
    ...(imageSize === undefined ? {} : { image_size: formatImageSize(imageSize) }),
    ...(testSplit === undefined ? {} : { test_split: testSplit }),
  };
}
