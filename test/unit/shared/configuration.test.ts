import { describe, expect, it } from 'vitest';
import {
  canonicalConfiguration,
  configurationOfRecord,
  configurationRecord,
  configurationRecordSchema,
  configurationSchema,
  differingSettings,
  parseConfiguration,
  shownSettings,
  type Configuration,
} from '../../../shared/configuration.ts';
import { defaultVirtualShards } from '../../../shared/arithmetic/virtual-shards.ts';
import { denseModel } from '../../../shared/arithmetic/model-shape.ts';
import { totalSteps } from '../../../shared/arithmetic/schedule.ts';
import { configurationFixture } from '../../fixtures/configuration.ts';

describe('the configuration', () => {
  it('determines the schedule, and survives a round trip through its record', () => {
    expect(totalSteps(configurationSchema.parse(configurationFixture))).toBe(9375);
    const split = { validationSamples: 6000, trainSamples: 54_000 };
    for (const change of [{}, { steps: 480 }, split]) {
      const configuration = { ...configurationFixture, ...change };
      const record = configurationRecordSchema.parse(
        JSON.parse(JSON.stringify(configurationRecord(configuration))),
      );
      expect(configurationOfRecord(record)).toEqual(configuration);
    }
  });

  it('has the same canonical text for any order of its fields', () => {
    const reversed = configurationSchema.parse(
      Object.fromEntries(Object.entries(configurationFixture).reverse()),
    );
    expect(canonicalConfiguration(reversed)).toBe(canonicalConfiguration(configurationFixture));
    expect(canonicalConfiguration(configurationFixture)).toBe(
      `{"batch_size":32,"dataset":"${'ab'.repeat(32)}","epochs":5,` +
        '"learning_rate":0.001,"model":{"classes":10,"columns":28,"layers":[{"kind":"flatten"},' +
        '{"activation":"relu","kind":"dense","units":128},{"kind":"dropout","rate":0.2}],' +
        '"rows":28},' +
        '"optimizer":{"beta1":0.9,"beta2":0.999,"epsilon":1e-7,"kind":"adam"},' +
        '"schedule":{"kind":"constant"},"seed":1,"test_samples":10000,"train_samples":60000,' +
        '"virtual_shards":4,"warmup":0,"weight_decay":0}',
    );
  });

  it('lists the settings in which two runs differ, with both values but without the length', () => {
    const other = {
      ...configurationFixture,
      dataset: 'cd'.repeat(32),
      seed: 2,
      epochs: 9,
      steps: 7,
      model: denseModel([28, 28], [64, 32], 0, 10),
    };
    expect(differingSettings(other, configurationFixture)).toEqual([
      `dataset ${'cd'.repeat(8)} instead of ${'ab'.repeat(8)}`,
      'seed 2 instead of 1',
      'layers flatten - dense 64 relu - dense 32 relu instead of flatten - dense 128 relu - ' +
        'dropout 0.2',
    ]);
    expect(differingSettings({ ...configurationFixture, epochs: 1 }, configurationFixture)).toEqual(
      [],
    );
  });

  it.each([
    ['dataset', 'xyz'],
    ['batchSize', 0],
    ['batchSize', 1.5],
    ['virtualShards', 3],
    ['virtualShards', 64],
    ['virtualShards', 512],
    ['learningRate', 0],
    ['learningRate', Number.NaN],
    ['optimizer', 'adam'],
    ['optimizer', { kind: 'rmsprop' }],
    ['optimizer', { ...configurationFixture.optimizer, beta1: 1 }],
    ['optimizer', { ...configurationFixture.optimizer, beta2: -1 }],
    ['optimizer', { ...configurationFixture.optimizer, epsilon: 0 }],
    ['optimizer', { ...configurationFixture.optimizer, momentum: 0.9 }],
    ['optimizer', { kind: 'sgd', momentum: 1, nesterov: false }],
    ['optimizer', { kind: 'sgd', momentum: 0, nesterov: true }],
    ['schedule', { kind: 'cosine', final: 0, horizon: 0 }],
    ['warmup', -1],
    ['warmup', 0.5],
    ['weightDecay', -1],
    ['weightDecay', Infinity],
    ['clipNorm', 0],
    ['clipNorm', Number.NaN],
    ['augment', { shift: 0, rotate: 0, zoom: 0 }],
    ['augment', { shift: 8.1, rotate: 0, zoom: 0 }],
    ['augment', { shift: -1, rotate: 0, zoom: 0 }],
    ['augment', { shift: 1, rotate: 180.5, zoom: 0 }],
    ['augment', { shift: 1, rotate: 0, zoom: 0.51 }],
    ['augment', { shift: 1, rotate: Number.NaN, zoom: 0 }],
    ['augment', { shift: 1, rotate: 10 }],
    ['augment', { shift: 1, rotate: 10, zoom: 0.1, flip: true }],
    ['augment', 'shift=2'],
    // No label smoothing is recorded as no field.
    ['labelSmoothing', 0],
    ['labelSmoothing', 1],
    ['init', 'runs/r'],
    ['seed', -1],
    ['seed', 2 ** 53],
    ['epochs', 0],
    ['steps', 0],
    ['model', denseModel([28, 28], [128, 0], 0, 10)],
    ['model', denseModel([28, 28], [128], 1, 10)],
    ['model', denseModel([28, 28], [128], -0.1, 10)],
    ['model', denseModel([28, 28], [128], 0, 1)],
    ['model', denseModel([0, 28], [128], 0, 10)],
    ['model', denseModel([257, 256], [128], 0, 10)],
    ['model', denseModel([28, 28], Array(64).fill(8), 0, 10)],
    ['model', { ...denseModel([28, 28], [128], 0, 10), inputs: 784 }],
    ['surprise', 1],
  ])('rejects %s = %j', (key, value) => {
    const parsed = configurationSchema.safeParse({ ...configurationFixture, [key]: value });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toContain(key);
  });

  it('rejects a weight decay with adam, and a warmup that does not end before the horizon', () => {
    const schedule = { kind: 'cosine', final: 0, horizon: 100 } as const;
    for (const [change, path] of [
      [{ weightDecay: 0.1 }, 'weightDecay'],
      [{ schedule, warmup: 100 }, 'warmup'],
    ] as const) {
      const changed = { ...configurationFixture, ...change };
      expect(configurationSchema.safeParse(changed).error?.issues).toMatchObject([
        { path: [path] },
      ]);
      const record = configurationRecordSchema.safeParse(configurationRecord(changed));
      expect(record.success).toBe(false);
    }
    const fitting = { ...configurationFixture, schedule, warmup: 99 };
    expect(configurationSchema.safeParse(fitting).success).toBe(true);
  });

  it('survives a round trip with every optimizer and schedule', () => {
    const own = {
      learningRate: 0.1,
      warmup: 3,
      weightDecay: 0.1,
      clipNorm: 1.5,
      labelSmoothing: 0.1,
      init: 'cd'.repeat(32),
    };
    for (const configuration of [
      {
        ...configurationFixture,
        ...own,
        optimizer: { kind: 'sgd', momentum: 0.9, nesterov: true },
        schedule: { kind: 'cosine', final: 0.1, horizon: 100 },
      },
      {
        ...configurationFixture,
        ...own,
        optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
        schedule: { kind: 'piecewise', boundaries: [2, 5], rates: [0.1, 0.01] },
      },
    ] satisfies Configuration[]) {
      const text = canonicalConfiguration(configuration);
      expect(parseConfiguration(text)).toEqual(configuration);
    }
  });

  it('lists the settings of optimizers and schedules that differ', () => {
    const other: Configuration = {
      ...configurationFixture,
      optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false },
      schedule: { kind: 'step', decay: 0.5, every: 100 },
      clipNorm: 1,
      labelSmoothing: 0.1,
      init: 'cd'.repeat(32),
    };
    expect(differingSettings(other, configurationFixture)).toEqual([
      'optimizer sgd instead of adam',
      'momentum 0.9 instead of unset',
      'nesterov false instead of unset',
      'schedule step instead of constant',
      'decay 0.5 instead of unset',
      'every 100 instead of unset',
      'clip_norm 1 instead of unset',
      'label_smoothing 0.1 instead of unset',
      `init ${'cd'.repeat(8)} instead of unset`,
      'beta1 unset instead of 0.9',
      'beta2 unset instead of 0.999',
      'epsilon unset instead of 1e-7',
    ]);
  });

  it('has an augmentation only if there is one, as one setting', () => {
    const augment = { shift: 2, rotate: 10, zoom: 0 };
    const augmented: Configuration = { ...configurationFixture, augment };
    expect(parseConfiguration(canonicalConfiguration(augmented))).toEqual(augmented);
    expect(canonicalConfiguration(augmented)).toContain(
      '{"augment":{"rotate":10,"shift":2,"zoom":0},"batch_size":32,',
    );
    expect(differingSettings(augmented, configurationFixture)).toEqual([
      'augment shift=2,rotate=10 instead of unset',
    ]);
    const { dataset: _, model: __, ...record } = configurationRecord(augmented);
    expect(shownSettings(record)).toContainEqual(['augment', 'shift=2,rotate=10']);
  });

  it('rejects the augmentation of images whose coordinates do not fit in 32 bits', () => {
    const augment = { shift: 1, rotate: 0, zoom: 0 };
    const sized = (rows: number, columns: number) => ({
      ...configurationFixture,
      model: denseModel([rows, columns], [8], 0, 10),
      augment,
    });
    expect(configurationSchema.safeParse(sized(4096, 16)).success).toBe(true);
    expect(configurationSchema.safeParse(sized(15, 4097)).error?.issues).toMatchObject([
      { path: ['augment'], message: 'needs images of at most 4096 rows and columns' },
    ]);
    const record = configurationRecordSchema.safeParse(configurationRecord(sized(4097, 1)));
    expect(record.success).toBe(false);
  });

  it('shows settings by name, without those that change nothing', () => {
    const { dataset: _, model: __, ...record } = configurationRecord(configurationFixture);
    expect(shownSettings(record).map(([name]) => name)).toEqual([
      'batch size',
      'virtual shards',
      'optimizer',
      'beta1',
      'beta2',
      'epsilon',
      'learning rate',
      'schedule',
      'seed',
      'train samples',
      'test samples',
      'epochs',
    ]);
    const given = { ...record, label_smoothing: 0.1, init: 'cd'.repeat(32) };
    expect(shownSettings(given)).toEqual(
      expect.arrayContaining([
        ['label smoothing', '0.1'],
        ['init', 'cd'.repeat(8)],
      ]),
    );
  });

  it.each([
    [1, 1],
    [15, 1],
    [16, 2],
    [31, 2],
    [32, 4],
    [63, 4],
    [64, 8],
    [256, 8],
    [4096, 8],
  ])('divides a batch of %i into %i shards by default', (batchSize, shards) => {
    expect(defaultVirtualShards(batchSize)).toBe(shards);
  });
});
