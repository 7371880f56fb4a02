import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ModelShape } from '../../../../shared/arithmetic/model-shape.ts';
import {
  denseModel,
  kernelShape,
  parameterCount,
  parametricOperations,
} from '../../../../shared/arithmetic/model-shape.ts';
import { philox4x32 } from '../../../../shared/arithmetic/philox.ts';
import {
  dropThreshold,
  epochOrder,
  initialWeights,
  keepScale,
  maskRow,
  purposeWord,
  seedWords,
} from '../../../../shared/arithmetic/random.ts';

const seed = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test('a seed is split into its low word and its high word', () => {
  expect(seedWords(0)).toEqual({ low: 0, high: 0 });
  expect(seedWords(2 ** 32 + 7)).toEqual({ low: 7, high: 1 });
  expect(seedWords(Number.MAX_SAFE_INTEGER)).toEqual({ low: 0xffffffff, high: 0x1fffff });
  expect(purposeWord(2, 1)).toBe(0x20001);
});

describe('epochOrder', () => {
  test('is a permutation for any seed, epoch and size', () => {
    fc.assert(
      fc.property(seed, fc.integer({ min: 1, max: 1000 }), fc.nat(300), (s, epoch, samples) => {
        expect([...epochOrder(s, epoch, samples)].toSorted((a, b) => a - b)).toEqual([
          ...Array(samples).keys(),
        ]);
      }),
    );
  });

  test('matches its definition, written here with only BigInt and Philox', () => {
    for (const [s, epoch, samples] of [
      [1, 1, 1000],
      [2 ** 40 + 5, 3, 257],
      [0, 9, 2],
    ] as const) {
      const order = [...Array(samples).keys()];
      const block = new Uint32Array(4);
      let taken = 0;
      for (let i = samples - 1; i > 0; i--) {
        const n = BigInt(i + 1);
        let word: bigint;
        do {
          const key = BigInt(s);
          const [low, high] = [Number(key & 0xffffffffn), Number(key >> 32n)];
          philox4x32(block, Math.floor(taken / 4), 0, epoch, 0x10000, low, high);
          word = BigInt(block[taken++ % 4] ?? 0);
        } while (word >= (2n ** 32n / n) * n);
        const j = Number(word % n);
        [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
      }
      expect([...epochOrder(s, epoch, samples)]).toEqual(order);
    }
  });

  test('depends only on the epoch and on both words of the seed', () => {
    const orders = [
      epochOrder(1, 1, 50),
      epochOrder(1, 2, 50),
      epochOrder(2, 1, 50),
      epochOrder(2 ** 32 + 1, 1, 50),
    ];
    expect(new Set(orders.map(String)).size).toBe(4);
    expect(epochOrder(1, 1, 50)).toEqual(orders[0]);
  });

  test('puts every sample at every position equally often', () => {
    const samples = 5;
    const epochs = 20_000;
    const counts = Array.from({ length: samples * samples }, () => 0);
    for (let epoch = 1; epoch <= epochs; epoch++) {
      epochOrder(1, epoch, samples).forEach((sample, at) => {
        counts[at * samples + sample] = (counts[at * samples + sample] ?? 0) + 1;
      });
    }
    // The expected count is 4000 with a standard deviation of 57. The stream is fixed, so this
    // cannot flake.
    for (const count of counts) expect(Math.abs(count - epochs / samples)).toBeLessThan(250);
  });
});

const imageModel: ModelShape = {
  rows: 7,
  columns: 5,
  classes: 2,
  layers: [
    {
      kind: 'conv2d',
      filters: 4,
      kernel: [3, 2],
      strides: [1, 1],
      padding: 'same',
      activation: 'relu',
    },
    { kind: 'dropout', rate: 0.5 },
    {
      kind: 'conv2d',
      filters: 5,
      kernel: [3, 2],
      strides: [2, 1],
      padding: 'valid',
      activation: 'relu',
    },
    { kind: 'max_pooling2d', pool: [1, 2], strides: [1, 1], padding: 'valid' },
    { kind: 'flatten' },
  ],
};

describe('initialWeights', () => {
  const model = denseModel([1, 20], [16, 8], 0, 3);

  test('makes kernels uniform within the Glorot limit, and sets biases to 0', () => {
    const wide = denseModel([28, 28], [128], 0, 10);
    const weights = initialWeights(1, wide);
    expect(weights.length).toBe(parameterCount(wide));
    for (const operation of parametricOperations(wide)) {
      const { kernelOffset, biasOffset } = operation;
      const [inputs = 0, units = 0] = kernelShape(operation);
      const limit = Math.sqrt(6 / (inputs + units));
      const kernel = [...weights.subarray(kernelOffset, biasOffset)];
      expect(kernel.every((weight) => Math.abs(weight) <= Math.fround(limit))).toBe(true);
      const variance = kernel.reduce((sum, weight) => sum + weight * weight, 0) / kernel.length;
      expect(variance / (limit ** 2 / 3)).toBeGreaterThan(0.95);
      expect(variance / (limit ** 2 / 3)).toBeLessThan(1.05);
      expect([...weights.subarray(biasOffset, biasOffset + units)]).toEqual(Array(units).fill(0));
    }
  });

  test("takes a layer's weight i from word i of the layer's stream", () => {
    const weights = initialWeights(7, model);
    const block = new Uint32Array(4);
    parametricOperations(model).forEach((operation, layer) => {
      const { kernelOffset } = operation;
      const [inputs = 0, units = 0] = kernelShape(operation);
      for (const i of [0, 1, 3, 4, inputs * units - 1]) {
        philox4x32(block, i >> 2, 0, 0, 0x30000 + layer, 7, 0);
        const uniform = Math.floor((block[i & 3] ?? 0) / 256) / 2 ** 24;
        const expected = Math.fround((2 * uniform - 1) * Math.sqrt(6 / (inputs + units)));
        expect(weights[kernelOffset + i]).toBe(expected);
      }
    });
  });

  test("uses Keras' fans for a convolution: the window times the channels", () => {
    const { rows, columns, layers, classes } = imageModel;
    const weights = initialWeights(7, { rows, columns, layers, classes });
    const block = new Uint32Array(4);
    // Kernels of 3 x 2 windows, 1 -> 4 and 4 -> 5 channels; then 3 * 3 * 5 -> 2.
    const kernels = [
      [0, 24, 6 * (1 + 4)],
      [28, 120, 6 * (4 + 5)],
      [153, 90, 45 + 2],
    ] as const;
    kernels.forEach(([offset, length, fans], layer) => {
      for (const i of [0, length - 1]) {
        philox4x32(block, i >> 2, 0, 0, 0x30000 + layer, 7, 0);
        const uniform = Math.floor((block[i & 3] ?? 0) / 256) / 2 ** 24;
        const expected = Math.fround((2 * uniform - 1) * Math.sqrt(6 / fans));
        expect(weights[offset + i]).toBe(expected);
      }
    });
    expect(weights).toHaveLength(153 + 90 + 2);
  });
});

describe('dropout', () => {
  test('has the expected threshold and scale at known rates', () => {
    expect([dropThreshold(0), dropThreshold(0.5), dropThreshold(0.2)]).toEqual([
      0,
      2 ** 31,
      858993459,
    ]);
    expect([keepScale(0), keepScale(0.5), keepScale(0.2)]).toEqual([1, 2, 1.25]);
  });

  test("decides each unit by one word of a block at the row's position", () => {
    const out = new Float32Array(7);
    maskRow(out, { seed: 2 ** 33 + 5, step: 11, position: 42, layer: 1 }, 0.5);
    const words = new Uint32Array(8);
    philox4x32(words, 0, 42, 11, 0x20001, 5, 2);
    philox4x32(words.subarray(4), 1, 42, 11, 0x20001, 5, 2);
    expect([...out]).toEqual(Array.from(words.subarray(0, 7), (word) => (word < 2 ** 31 ? 0 : 2)));
  });
});
