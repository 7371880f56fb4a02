import { describe, expect, it } from 'vitest';
import {
  denseModel,
  denseSettings,
  type ModelShape,
} from '../../../shared/arithmetic/model-shape.ts';
import { evaluationRows, excessOf } from '../../../shared/arithmetic/model-size.ts';
import { modelRows, modelText } from '../../../shared/arithmetic/model-text.ts';
import { parseConfiguration } from '../../../shared/configuration.ts';
import { parseRunRecord } from '../../../shared/files/run-schema.ts';
import { readModel } from '../../../shared/files/model-file.ts';
import { encodeTensors } from '../../../shared/files/safetensors.ts';
import { modelSchema } from '../../../shared/model-schema.ts';
import { conv2d, convnetModel, everyLayerModel, pooling } from '../../fixtures/engine/models.ts';
import { sampleRun } from '../../fixtures/run-record.ts';

/** The configuration in the metadata of a model file by version 0.2.0, with arithmetic 1. */
const oldConfiguration =
  '{"batch_size":32,"beta1":0.9,"beta2":0.999,"dataset":' +
  '"b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a","dropout":0.25,"epochs":5,' +
  '"epsilon":1e-7,"learning_rate":0.001,"model":{"classes":10,"hidden":[4,3],"inputs":784},' +
  '"seed":1,"steps":20,"test_samples":10000,"train_samples":60000,"virtual_shards":4}';

describe("an older version's model", () => {
  const model = denseModel([28, 28], [4, 3], 0.25, 10);

  it('is read from a run.json, with the dropout that stood beside it', () => {
    const configured = { ...sampleRun, configuration: JSON.parse(oldConfiguration) };
    const text = JSON.stringify({ ...configured, arithmetic: 1 });
    const { configuration } = parseRunRecord(text, 'run.json');
    expect(configuration.model).toEqual(model);
    expect(configuration).not.toHaveProperty('dropout');
  });

  it('is read from a model.safetensors', () => {
    const shapes = [[784, 4], [4], [4, 3], [3], [3, 10], [10]];
    const tensors = shapes.map((shape, i) => {
      const length = shape.reduce((product, size) => product * size, 1);
      const part = i % 2 === 0 ? 'kernel' : 'bias';
      return {
        name: `dense.${Math.floor(i / 2)}.${part}`,
        shape,
        data: new Float32Array(length),
      };
    });
    const metadata = { configuration: oldConfiguration, step: '20', chain: '15'.repeat(32) };
    const read = readModel(Buffer.from(encodeTensors({ metadata, tensors })), 'old.safetensors');
    expect(read.configuration.model).toEqual(model);
    expect(read.weights).toHaveLength(784 * 4 + 4 + 15 + 40);
  });

  it.each([
    [{ dropout: 0 }, denseModel([28, 28], [4, 3], 0, 10)],
    [{ model: { inputs: 6, hidden: [2], classes: 3 } }, denseModel([1, 6], [2], 0.25, 3)],
  ])('is converted with %j', (change, expected) => {
    const text = JSON.stringify({ ...JSON.parse(oldConfiguration), ...change });
    expect(parseConfiguration(text)?.model).toEqual(expected);
  });

  it.each([
    { dropout: 1 },
    { dropout: 'x' },
    { model: { inputs: 784, hidden: [], classes: 10 } },
    { model: { ...model, inputs: 784 } },
    { model },
  ])('is rejected with %j', (change) => {
    const text = JSON.stringify({ ...JSON.parse(oldConfiguration), ...change });
    expect(parseConfiguration(text)).toBeUndefined();
  });
});

describe('a model', () => {
  it.each([
    ['a dense layer before flatten', [{ kind: 'dense', units: 3, activation: 'relu' }], /flatten/],
    ['no flatten', [conv2d(3, [3, 3])], /layer 2 .*\(dense\).*flatten/],
    ['a convolution after flatten', [{ kind: 'flatten' }, conv2d(3, [1, 1])], /before flatten/],
    ['a window larger than its input', [pooling('max_pooling2d', [9, 2])], /window of 9 x 2/],
    ['too many filters', [conv2d(4097, [3, 3]), { kind: 'flatten' }], /4096/],
    ['a window of 0', [conv2d(1, [0, 3]), { kind: 'flatten' }], />=1/],
    ['an unknown kind', [{ kind: 'conv3d' }], /kind/],
    ['a surplus setting', [{ kind: 'flatten', units: 3 }], /units/],
    ['too many layers', Array.from({ length: 65 }, () => ({ kind: 'flatten' })), /64/],
  ])('is rejected with %s', (_, layers, message) => {
    const parsed = modelSchema.safeParse({ rows: 8, columns: 8, layers, classes: 2 });
    expect(parsed.success).toBe(false);
    expect(String(parsed.error)).toMatch(message);
  });

  it('survives JSON', () => {
    for (const model of [convnetModel, everyLayerModel])
      expect(modelSchema.parse(JSON.parse(JSON.stringify(model)))).toEqual(model);
  });

  it('has a short text', () => {
    expect(modelText(denseModel([28, 28], [128], 0.2, 10))).toBe('784 - 128 - 10');
    expect(modelRows(denseModel([28, 28], [128], 0.2, 10))).toEqual([
      ['layers', '784 - 128 - 10'],
      ['dropout', '0.2'],
    ]);
    expect(modelText(convnetModel)).toBe(
      'conv2d 32 3x3 relu - max_pooling2d 2x2 - conv2d 64 3x3 relu - max_pooling2d 2x2 - ' +
        'flatten - dropout 0.5 - dense 10',
    );
    expect(modelRows(convnetModel)).toHaveLength(1);
    expect(modelText(everyLayerModel)).toContain('max_pooling2d 3x2 strides 2x1 same');
  });

  it.each([
    [[128], 0.2],
    [[16, 8], 0],
    [[], 0],
  ])('is recognised as dense: %j, dropout %d', (hidden, dropout) => {
    expect(denseSettings(denseModel([5, 5], hidden, dropout, 3))).toEqual({ hidden, dropout });
  });

  it('is not dense with different rates, other activations or images', () => {
    const { layers } = denseModel([5, 5], [4, 4], 0.5, 3);
    const others = [
      layers.slice(0, -1),
      [...layers, { kind: 'dropout', rate: 0.1 } as const],
      [{ kind: 'flatten' }, { kind: 'dense', units: 4, activation: 'linear' }] as const,
      convnetModel.layers,
    ];
    for (const other of others) expect(denseSettings({ layers: other })).toBeUndefined();
  });

  it('has evaluation chunks of 500 rows if it is dense, otherwise of at most 16 MiB', () => {
    const wide = (filters: number): ModelShape => ({
      ...convnetModel,
      layers: [conv2d(filters, [1, 1]), { kind: 'flatten' }],
    });
    expect(evaluationRows(denseModel([28, 28], [65_536], 0, 10))).toBe(500);
    expect(evaluationRows(wide(1))).toBe(500);
    expect(evaluationRows(wide(20))).toBe(250);
    expect(evaluationRows(convnetModel)).toBe(100);
    expect(evaluationRows(wide(4096))).toBe(10);
  });

  it('has a limit for the values of a shard and for the multiplications of a step', () => {
    const batch = { batchSize: 65_536, virtualShards: 1 };
    expect(excessOf(convnetModel, { batchSize: 128, virtualShards: 8 })).toBeUndefined();
    expect(excessOf(convnetModel, batch)).toMatch(/MAX_SHARD_VALUES/);
    expect(excessOf(convnetModel, { ...batch, virtualShards: 8 })).toBeUndefined();
    const wide = denseModel([28, 28], Array(3).fill(65_536), 0, 10);
    expect(excessOf(wide, { ...batch, virtualShards: 256 })).toMatch(/MAX_STEP_MULTIPLICATIONS/);
  });
});
