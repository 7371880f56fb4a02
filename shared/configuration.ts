import { z } from 'zod';
import * as limits from './limits.ts';
import { shortDigest } from './printable.ts';

/**
 * The configuration: everything that a run's bytes depend on, and nothing else. Ports, paths and
 * the number of workers are launch settings.
 */
const fields = {
  /** SHA-256 of the dataset (shared/dataset/dataset.ts). */
  dataset: z.string().regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in hexadecimal'),
  model: z.strictObject({
    inputs: z.int().min(1).max(limits.MAX_INPUTS),
    hidden: z
      .array(z.int().min(1).max(limits.MAX_LAYER_UNITS))
      .min(1)
      .max(limits.MAX_HIDDEN_LAYERS),
    classes: z.int().min(2).max(limits.MAX_CLASSES),
  }),
  dropout: z.number().min(0).lt(1),
  batchSize: z.int().min(1).max(limits.MAX_BATCH_SIZE),
  virtualShards: z
    .int()
    .min(1)
    .max(limits.MAX_VIRTUAL_SHARDS)
    .refine((shards) => Number.isInteger(Math.log2(shards)), 'must be a power of two'),
  learningRate: z.number().gt(0),
  beta1: z.number().min(0).lt(1),
  beta2: z.number().min(0).lt(1),
  epsilon: z.number().gt(0),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  epochs: z.int().min(1).max(limits.MAX_EPOCHS),
  /** Total steps; overrides `epochs`. */
  steps: z.int().min(1).max(limits.MAX_STEPS).optional(),
  trainSamples: z.int().min(1).max(limits.MAX_STEPS),
  testSamples: z.int().min(1).max(limits.MAX_STEPS),
};

/** The configuration in code and on the wire. */
export const configurationSchema = z
  .strictObject(fields)
  .refine(({ virtualShards, batchSize }) => virtualShards <= batchSize, {
    message: 'must not exceed the batch size',
    path: ['virtualShards'],
  });

export type Configuration = z.infer<typeof configurationSchema>;

/** The configuration in files: the same fields in snake_case. */
export const configurationRecordSchema = z
  .strictObject({
    dataset: fields.dataset,
    model: fields.model,
    dropout: fields.dropout,
    batch_size: fields.batchSize,
    virtual_shards: fields.virtualShards,
    learning_rate: fields.learningRate,
    beta1: fields.beta1,
    beta2: fields.beta2,
    epsilon: fields.epsilon,
    seed: fields.seed,
    epochs: fields.epochs,
    steps: fields.steps,
    train_samples: fields.trainSamples,
    test_samples: fields.testSamples,
  })
  .refine(({ virtual_shards, batch_size }) => virtual_shards <= batch_size, {
    message: 'must not exceed the batch size',
    path: ['virtual_shards'],
  });

export type ConfigurationRecord = z.infer<typeof configurationRecordSchema>;

export function configurationRecord(configuration: Configuration): ConfigurationRecord {
  const { dataset, model, dropout, beta1, beta2, epsilon, seed, epochs, steps } = configuration;
  return {
    dataset,
    model,
    dropout,
    batch_size: configuration.batchSize,
    virtual_shards: configuration.virtualShards,
    learning_rate: configuration.learningRate,
    beta1,
    beta2,
    epsilon,
    seed,
    epochs,
    ...(steps === undefined ? {} : { steps }),
    train_samples: configuration.trainSamples,
    test_samples: configuration.testSamples,
  };
}

/**
 * The settings with their display names. Only one of epochs and steps is included: the one that
 * sets the run's length.
 */
export function shownSettings(
  record: Omit<ConfigurationRecord, 'dataset' | 'model'>,
): (readonly [string, string])[] {
  const { epochs, steps, ...rest } = record;
  const length = steps === undefined ? { epochs } : { steps };
  return Object.entries({ ...rest, ...length }).map(
    ([name, value]) => [name.replaceAll('_', ' '), String(value)] as const,
  );
}

export function configurationOfRecord(record: ConfigurationRecord): Configuration {
  const { batch_size, virtual_shards, learning_rate, train_samples, test_samples, ...same } =
    record;
  return configurationSchema.parse({
    ...same,
    batchSize: batch_size,
    virtualShards: virtual_shards,
    learningRate: learning_rate,
    trainSamples: train_samples,
    testSamples: test_samples,
  });
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

/** The differences between two recipes, one string per setting: "seed 2 instead of 1". */
export function differingSettings(actual: Configuration, expected: Configuration): string[] {
  const values = (configuration: Configuration) => {
    const { model, ...settings } = recipeRecord(configuration);
    const all = Object.entries({ ...settings, ...model });
    return new Map(all.map(([key, value]) => [key, settingText(value)]));
  };
  const expectedValues = values(expected);
  return [...values(actual)].flatMap(([key, value]) => {
    const other = expectedValues.get(key);
    return value === other ? [] : [`${key} ${value} instead of ${other}`];
  });
}

function settingText(value: string | number | readonly number[]): string {
  return typeof value === 'string' ? shortDigest(value) : String(value);
}

function canonicalJson(record: object): string {
  return JSON.stringify(record, (_key, value: unknown) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Parses a configuration from a file's JSON. Returns undefined if it is invalid. */
export function parseConfiguration(text: string): Configuration | undefined {
  try {
    return configurationOfRecord(configurationRecordSchema.parse(JSON.parse(text)));
  } catch {
    return undefined;
  }
}
