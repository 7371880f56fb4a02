import { describe, expect, it } from 'vitest';
import {
  canonicalConfiguration,
  configurationOfRecord,
  configurationRecord,
  configurationRecordSchema,
  configurationSchema,
  differingSettings,
} from '../../../shared/configuration.ts';
import { defaultVirtualShards } from '../../../shared/arithmetic/virtual-shards.ts';
import { totalSteps } from '../../../shared/arithmetic/schedule.ts';
import { configurationFixture } from '../../fixtures/configuration.ts';

describe('the configuration', () => {
  it('determines the schedule, and survives a round trip through its record', () => {
    expect(totalSteps(configurationSchema.parse(configurationFixture))).toBe(9375);
    for (const configuration of [configurationFixture, { ...configurationFixture, steps: 480 }]) {
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
      `{"batch_size":32,"beta1":0.9,"beta2":0.999,"dataset":"${'ab'.repeat(32)}","dropout":0.2,` +
        '"epochs":5,"epsilon":1e-7,"learning_rate":0.001,' +
        '"model":{"classes":10,"hidden":[128],"inputs":784},"seed":1,"test_samples":10000,' +
        '"train_samples":60000,"virtual_shards":4}',
    );
  });

  it('lists the settings in which two runs differ, with both values but without the length', () => {
    const other = {
      ...configurationFixture,
      dataset: 'cd'.repeat(32),
      seed: 2,
      epochs: 9,
      steps: 7,
      model: { inputs: 784, hidden: [64, 32], classes: 10 },
    };
    expect(differingSettings(other, configurationFixture)).toEqual([
      `dataset ${'cd'.repeat(8)} instead of ${'ab'.repeat(8)}`,
      'seed 2 instead of 1',
      'hidden 64,32 instead of 128',
    ]);
    expect(differingSettings({ ...configurationFixture, epochs: 1 }, configurationFixture)).toEqual(
      [],
    );
  });

  it.each([
    ['dataset', 'xyz'],
    ['dropout', 1],
    ['dropout', -0.1],
    ['batchSize', 0],
    ['batchSize', 1.5],
    ['virtualShards', 3],
    ['virtualShards', 64],
    ['virtualShards', 512],
    ['learningRate', 0],
    ['learningRate', Number.NaN],
    ['beta1', 1],
    ['beta2', -1],
    ['epsilon', 0],
    ['seed', -1],
    ['seed', 2 ** 53],
    ['epochs', 0],
    ['steps', 0],
    ['model', { inputs: 784, hidden: [], classes: 10 }],
    ['model', { inputs: 784, hidden: [128, 0], classes: 10 }],
    ['model', { inputs: 784, hidden: [128], classes: 1 }],
    ['surprise', 1],
  ])('rejects %s = %j', (key, value) => {
    const parsed = configurationSchema.safeParse({ ...configurationFixture, [key]: value });
    expect(parsed.success).toBe(false);
    expect(JSON.stringify(parsed.error?.issues)).toContain(key);
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
