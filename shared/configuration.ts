import { z } from 'zod';
import { augmentText, isAugmentable, type Augment } from './arithmetic/augment.ts';
import { scheduleSchema, type Schedule } from './arithmetic/learning-rate.ts';
import { excessOf } from './arithmetic/model-size.ts';
import { layerText } from './arithmetic/model-text.ts';
import { optimizerSchema, type Optimizer } from './arithmetic/optimizer.ts';
import { MAX_AUGMENTED_PIXELS } from './limits/augment.ts';
import { augmentSchema } from './augment-schema.ts';
import { judgingSet } from './evaluation/judgement.ts';
import * as limits from './limits.ts';
import { modelSchema, problemOf, withLayers } from './model-schema.ts';
import { shortDigest } from './printable.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hexadecimal');

/**
 * The configuration: everything that a run's bytes depend on, and nothing else. Ports, paths and
 * the number of workers are launch settings.
 */
const fields = {
  /** SHA-256 of the dataset (shared/dataset/dataset.ts). */
  dataset: sha256,
  model: modelSchema,
  batchSize: z.int().min(1).max(limits.MAX_BATCH_SIZE),
  virtualShards: z
    .int()
    .min(1)
    .max(limits.MAX_VIRTUAL_SHARDS)
    .refine((shards) => Number.isInteger(Math.log2(shards)), 'must be a power of two'),
  optimizer: optimizerSchema,
  learningRate: z.number().gt(0),
  schedule: scheduleSchema,
  /** The number of steps in which the rate rises to the learning rate. */
  warmup: z.int().min(0).max(limits.MAX_STEPS),
  /** Decoupled weight decay of the kernels; 0 for none. */
  weightDecay: z.number().min(0).max(limits.MAX_WEIGHT_DECAY),
  /** Maximum norm of the gradient. */
  clipNorm: z.number().gt(0).optional(),
  /** How the training images are moved at random; absent if they are not. */
  augment: augmentSchema.optional(),
  /** The label smoothing of the training loss; absent for none. */
  labelSmoothing: z.number().gt(0).lt(1).optional(),
  /** SHA-256 of the initial weights (shared/files/init-file.ts); absent if the seed draws them. */
  init: sha256.optional(),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  epochs: z.int().min(1).max(limits.MAX_EPOCHS),
  /** Total steps; overrides `epochs`. */
  steps: z.int().min(1).max(limits.MAX_STEPS).optional(),
  /** Patience of early stopping, in evaluations; see shared/evaluation/judgement.ts. */
  earlyStopping: z.int().min(0).max(limits.MAX_EPOCHS).optional(),
  /** By how much the loss must fall to count as an improvement; only with early stopping. */
  minDelta: z.number().min(0).optional(),
  /** Whether the model is that of the best evaluation; absent if it is not. */
  keepBest: z.literal(true).optional(),
  /** The size of the validation set, which is held out of the training files. */
  validationSamples: z.int().min(1).max(limits.MAX_STEPS).optional(),
  /** The size of the training set: the first samples of the training files. */
  trainSamples: z.int().min(1).max(limits.MAX_STEPS),
  testSamples: z.int().min(1).max(limits.MAX_STEPS),
};

const shardsFit = { message: 'must not exceed the batch size' };
const decayFits = { message: 'must be 0 with the optimizer adam: use adamw' };
const minDeltaFits = { message: 'belongs to early stopping and to keeping the best model' };
const keepBestFits = { message: 'needs a validation set' };
const warmupFits = { message: 'must be below the horizon of the schedule' };
const augmentFits = {
  message: `needs images of at most ${MAX_AUGMENTED_PIXELS} rows and columns`,
  path: ['augment'],
};

function isDecayAllowed({ kind }: Optimizer, weightDecay: number): boolean {
  return weightDecay === 0 || kind !== 'adam';
}

function isWarmupAllowed(schedule: Schedule, warmup: number): boolean {
  return schedule.kind !== 'cosine' || warmup < schedule.horizon;
}

function isAugmentAllowed(model: Parameters<typeof isAugmentable>[0], augment?: Augment): boolean {
  return augment === undefined || isAugmentable(model);
}

/** The configuration in code and on the wire. */
export const configurationSchema = z
  .strictObject(fields)
  .refine(({ virtualShards, batchSize }) => virtualShards <= batchSize, {
    ...shardsFit,
    path: ['virtualShards'],
  })
  .refine(({ optimizer, weightDecay }) => isDecayAllowed(optimizer, weightDecay), {
    ...decayFits,
    path: ['weightDecay'],
  })
  .refine(({ schedule, warmup }) => isWarmupAllowed(schedule, warmup), {
    ...warmupFits,
    path: ['warmup'],
  })
  .refine(({ model, augment }) => isAugmentAllowed(model, augment), augmentFits)
  .refine((chosen) => (chosen.minDelta === undefined) === (judgingSet(chosen) === undefined), {
    ...minDeltaFits,
    path: ['minDelta'],
  })
  .refine(({ keepBest, validationSamples }) => keepBest === undefined || validationSamples, {
    ...keepBestFits,
    path: ['keepBest'],
  })
  .superRefine(({ model, batchSize, virtualShards }, context) => {
    if (problemOf(model) !== undefined) return;
    const excess = excessOf(model, { batchSize, virtualShards });
    if (excess !== undefined)
      context.addIssue({ code: 'custom', message: `the model ${excess}`, path: ['model'] });
  });

export type Configuration = z.infer<typeof configurationSchema>;

const recordSchema = z
  .strictObject({
    dataset: fields.dataset,
    model: fields.model,
    batch_size: fields.batchSize,
    virtual_shards: fields.virtualShards,
    optimizer: fields.optimizer,
    learning_rate: fields.learningRate,
    schedule: fields.schedule,
    warmup: fields.warmup,
    weight_decay: fields.weightDecay,
    clip_norm: fields.clipNorm,
    augment: fields.augment,
    label_smoothing: fields.labelSmoothing,
    init: fields.init,
    seed: fields.seed,
    epochs: fields.epochs,
    steps: fields.steps,
    early_stopping: fields.earlyStopping,
    keep_best: fields.keepBest,
    min_delta: fields.minDelta,
    validation_samples: fields.validationSamples,
    train_samples: fields.trainSamples,
    test_samples: fields.testSamples,
  })
  .refine(({ virtual_shards, batch_size }) => virtual_shards <= batch_size, {
    ...shardsFit,
    path: ['virtual_shards'],
  })
  .refine(({ optimizer, weight_decay }) => isDecayAllowed(optimizer, weight_decay), {
    ...decayFits,
    path: ['weight_decay'],
  })
  .refine(({ schedule, warmup }) => isWarmupAllowed(schedule, warmup), {
    ...warmupFits,
    path: ['warmup'],
  })
  .refine(({ model, augment }) => isAugmentAllowed(model, augment), augmentFits);

/** The configuration in files: the same fields in snake_case. Accepts older versions' models. */
export const configurationRecordSchema = z.preprocess(withLayers, recordSchema);

export type ConfigurationRecord = z.infer<typeof configurationRecordSchema>;

export function configurationRecord(configuration: Configuration): ConfigurationRecord {
  const { dataset, model, optimizer, schedule, warmup } = configuration;
  const { clipNorm, augment, labelSmoothing, init, seed, epochs, steps } = configuration;
  const { validationSamples, earlyStopping, keepBest, minDelta } = configuration;
  return {
    dataset,
    model,
    batch_size: configuration.batchSize,
    virtual_shards: configuration.virtualShards,
    optimizer,
    learning_rate: configuration.learningRate,
    schedule,
    warmup,
    weight_decay: configuration.weightDecay,
    ...(clipNorm === undefined ? {} : { clip_norm: clipNorm }),
    ...(augment === undefined ? {} : { augment }),
    ...(labelSmoothing === undefined ? {} : { label_smoothing: labelSmoothing }),
    ...(init === undefined ? {} : { init }),
    seed,
    epochs,
    ...(steps === undefined ? {} : { steps }),
    ...(earlyStopping === undefined ? {} : { early_stopping: earlyStopping }),
    ...(keepBest === undefined ? {} : { keep_best: keepBest }),
    ...(minDelta === undefined ? {} : { min_delta: minDelta }),
    ...(validationSamples === undefined ? {} : { validation_samples: validationSamples }),
    train_samples: configuration.trainSamples,
    test_samples: configuration.testSamples,
  };
}

/**
 * The settings with their display names. Only one of epochs and steps is included: the one that
 * sets the run's length. Settings that change nothing (no warmup, no decay) are left out.
 */
export function shownSettings(
  record: Omit<ConfigurationRecord, 'dataset' | 'model'>,
): (readonly [string, string])[] {
  const { epochs, steps, ...rest } = record;
  const length = steps === undefined ? { epochs } : { steps };
  return flatEntries({ ...rest, ...length })
    .filter(
      ([name, value]) => value !== 0 || !['warmup', 'weight_decay', 'min_delta'].includes(name),
    )
    .map(([name, value]) => [name.replaceAll('_', ' '), settingText(value, name)] as const);
}

type Setting = string | number | boolean | readonly number[];

/**
 * The settings of a record, with those of the optimizer and of the schedule among them: their kinds
 * have the names `optimizer` and `schedule`. The augmentation is one setting.
 */
function flatEntries(
  record: Partial<Omit<ConfigurationRecord, 'model'>>,
): (readonly [string, Setting])[] {
  return Object.entries(record).flatMap(([name, value]): (readonly [string, Setting])[] => {
    if (value === undefined) return [];
    if (typeof value !== 'object') return [[name, value]];
    if ('rotate' in value) return [[name, augmentText(value)]];
    const { kind, ...settings } = value;
    return [[name, kind], ...Object.entries<Setting>(settings)];
  });
}

export function configurationOfRecord(record: ConfigurationRecord): Configuration {
  const {
    batch_size,
    virtual_shards,
    learning_rate,
    weight_decay,
    clip_norm,
    label_smoothing,
    early_stopping,
    keep_best,
    min_delta,
    validation_samples,
    train_samples,
    test_samples,
    ...same
  } = record;
  return configurationSchema.parse({
    ...same,
    batchSize: batch_size,
    virtualShards: virtual_shards,
    learningRate: learning_rate,
    weightDecay: weight_decay,
    ...(clip_norm === undefined ? {} : { clipNorm: clip_norm }),
    ...(label_smoothing === undefined ? {} : { labelSmoothing: label_smoothing }),
    ...(early_stopping === undefined ? {} : { earlyStopping: early_stopping }),
    ...(keep_best === undefined ? {} : { keepBest: keep_best }),
    ...(min_delta === undefined ? {} : { minDelta: min_delta }),
    ...(validation_samples === undefined ? {} : { validationSamples: validation_samples }),
    trainSamples: train_samples,
    testSamples: test_samples,
  });
}

const firstRecordSchema = z.looseObject({
  beta1: z.unknown(),
  beta2: z.unknown(),
  epsilon: z.unknown(),
  optimizer: z.undefined().optional(),
});

/**
 * The record of a run of arithmetic 1 in today's form. Such a run has Adam with a constant learning
 * rate, and its parameters stand beside the other settings. Any other value is returned unchanged.
 */
export function recordOfFirstArithmetic(record: unknown): unknown {
  const { data, success } = firstRecordSchema.safeParse(record);
  if (!success || !('beta1' in data)) return record;
  const { beta1, beta2, epsilon, ...rest } = data;
  return {
    ...rest,
    optimizer: { kind: 'adam', beta1, beta2, epsilon },
    schedule: { kind: 'constant' },
    warmup: 0,
    weight_decay: 0,
  };
}

/**
 * The canonical text of a configuration: its record as JSON, without white space, with keys sorted
 * by code unit at every level.
 */
export function canonicalConfiguration(configuration: Configuration): string {
  return canonicalJson(configurationRecord(configuration));
}

/**
 * The canonical text without the run's length. Two runs with the same recipe compute identical
 * steps up to the end of the shorter run.
 */
export function canonicalRecipe(configuration: Configuration): string {
  return canonicalJson(recipeRecord(configuration));
}

function recipeRecord(configuration: Configuration): Omit<ConfigurationRecord, 'epochs' | 'steps'> {
  const { epochs: _, steps: __, ...recipe } = configurationRecord(configuration);
  return recipe;
}

/** The settings of a recipe, by their names in run.json; layers are one text. */
export function recipeSettings(configuration: Configuration): Map<string, string> {
  const { model, ...settings } = recipeRecord(configuration);
  const layers = model.layers.map(layerText).join(' - ');
  const all = [...flatEntries(settings), ...Object.entries<Setting>({ ...model, layers })];
  return new Map(all.map(([key, value]) => [key, settingText(value, key)]));
}

/** The differences between two recipes, one string per setting: "seed 2 instead of 1". */
export function differingSettings(actual: Configuration, expected: Configuration): string[] {
  const [ours, theirs] = [recipeSettings(actual), recipeSettings(expected)];
  return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((key) => {
    const [value, other] = [ours.get(key), theirs.get(key)];
    return value === other ? [] : [`${key} ${value ?? 'unset'} instead of ${other ?? 'unset'}`];
  });
}

function settingText(value: Setting, key: string): string {
  return ['dataset', 'init'].includes(key) ? shortDigest(String(value)) : String(value);
}

function canonicalJson(record: object): string {
  return JSON.stringify(record, (_key, value: unknown) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/**
 * Parses a configuration from a model file, which may be from a run of arithmetic 1. Returns
 * undefined if it is invalid.
 */
export function parseConfiguration(text: string): Configuration | undefined {
  try {
    const record = recordOfFirstArithmetic(JSON.parse(text));
    return configurationOfRecord(configurationRecordSchema.parse(record));
  } catch {
    return undefined;
  }
}
