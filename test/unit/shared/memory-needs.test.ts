import { describe, expect, it } from 'vitest';
import { DEFAULT_MAX_WORKER_MEMORY_BYTES } from '../../../shared/limits.ts';
import { conv2d, convnetModel } from '../../fixtures/engine/models.ts';
import {
  checkCoordinatorMemory,
  checkWorkerMemory,
  workerBytes,
} from '../../../shared/memory-needs.ts';
import { denseModel, type ModelShape } from '../../../shared/arithmetic/model-shape.ts';

const MEBIBYTE = 1024 ** 2;
const optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
const small = (dropout: number) => denseModel([28, 28], [8], dropout, 10);
const wide = (dropout: number) => denseModel([28, 28], [512, 512], dropout, 10);
const large = (dropout: number) => denseModel([28, 28], [2048, 2048], dropout, 10);
const deep = (dropout: number) =>
  denseModel(
    [28, 28],
    Array.from({ length: 8 }, () => 256),
    dropout,
    10,
  );
/** A convolution for which TensorFlow needs a second channel. */
const narrow: ModelShape = {
  rows: 64,
  columns: 64,
  classes: 3,
  layers: [conv2d(1, [2, 64], { strides: [2, 1] }), { kind: 'flatten' }],
};

describe('the memory that a run needs', () => {
  // Measured in MiB: how much a worker's peak memory exceeds its peak with a batch of 32 and 8
  // hidden units.
  it.each([
    ['wasm', { model: small(0), batchSize: 16_384, virtualShards: 1 }, 249],
    ['wasm', { model: deep(0), batchSize: 4096, virtualShards: 1 }, 336],
    ['tensorflow', { model: deep(0), batchSize: 4096, virtualShards: 1 }, 135],
    ['tensorflow', { model: small(0), batchSize: 65_536, virtualShards: 1 }, 1003],
    ['tensorflow', { model: wide(0.2), batchSize: 65_536, virtualShards: 8 }, 2259],
    ['tensorflow', { model: wide(0.2), batchSize: 65_536, virtualShards: 64 }, 1284],
    ['tensorflow', { model: wide(0.2), batchSize: 32_768, virtualShards: 8 }, 1133],
    ['tensorflow', { model: wide(0.2), batchSize: 16_384, virtualShards: 1 }, 576],
    ['tensorflow', { model: large(0.2), batchSize: 1024, virtualShards: 8 }, 599],
    ['wasm', { model: wide(0.2), batchSize: 16_384, virtualShards: 1 }, 1010],
    ['wasm', { model: large(0.2), batchSize: 1024, virtualShards: 8 }, 388],
    ['tensorflow', { model: convnetModel, batchSize: 1024, virtualShards: 1 }, 384],
    ['tensorflow', { model: convnetModel, batchSize: 2048, virtualShards: 1 }, 705],
    ['tensorflow', { model: convnetModel, batchSize: 4096, virtualShards: 8 }, 264],
    ['tensorflow', { model: narrow, batchSize: 4096, virtualShards: 1 }, 594],
    ['tensorflow', { model: narrow, batchSize: 16_384, virtualShards: 1 }, 2571],
    ['wasm', { model: convnetModel, batchSize: 1024, virtualShards: 1 }, 1656],
    ['wasm', { model: convnetModel, batchSize: 2048, virtualShards: 1 }, 3206],
    ['wasm', { model: convnetModel, batchSize: 4096, virtualShards: 8 }, 897],
  ] as const)(
    'with %s is at least about the measured need, and at most a quarter more',
    (engine, configuration, measuredMebibytes) => {
      const mebibytes = workerBytes(configuration, engine) / MEBIBYTE;
      expect(mebibytes).toBeGreaterThan(0.95 * measuredMebibytes);
      expect(mebibytes).toBeLessThan(1.25 * measuredMebibytes);
    },
  );

  it('is within the limit for common models', () => {
    const model = denseModel([28, 28], [128], 0.2, 10);
    for (const engine of ['tensorflow', 'wasm', 'reference'] as const)
      for (const [batchSize, virtualShards] of [
        [32, 4],
        [8192, 8],
        [65_536, 64],
      ] as const) {
        const needing = { model, batchSize, virtualShards };
        expect(() =>
          checkWorkerMemory(needing, engine, DEFAULT_MAX_WORKER_MEMORY_BYTES),
        ).not.toThrow();
        expect(() => checkCoordinatorMemory({ ...needing, optimizer })).not.toThrow();
      }
  });

  it('is rejected if a worker needs too much, stating the need, the limit and the option', () => {
    const model = denseModel(
      [28, 28],
      Array.from({ length: 16 }, () => 512),
      0.2,
      10,
    );
    const needing = { model, batchSize: 65_536, virtualShards: 1 };
    for (const engine of ['tensorflow', 'wasm', 'reference'] as const)
      expect(() => checkWorkerMemory(needing, engine, DEFAULT_MAX_WORKER_MEMORY_BYTES)).toThrow(
        expect.objectContaining({
          code: 'LIMIT',
          message: expect.stringMatching(
            /needs \d+\.\d GiB in a worker .* more than 2\.0 GiB \(--max-memory-bytes\)/,
          ),
        }),
      );
  });

  it('is rejected with sizes in units that show them', () => {
    const model = denseModel([28, 28], [128], 0.2, 10);
    const needing = { model, batchSize: 32, virtualShards: 16 };
    expect(() => checkWorkerMemory(needing, 'wasm', 1)).toThrow(
      /needs \d+\.\d MiB in a worker .* more than 1 byte \(--max-memory-bytes\)/,
    );
    expect(() => checkWorkerMemory(needing, 'wasm', 2048)).toThrow('more than 2.0 KiB');
  });

  it('is rejected if the coordinator needs too much, stating the need', () => {
    const model = denseModel([28, 28], [65_536, 65_536], 0, 10);
    expect(() => checkCoordinatorMemory({ model, virtualShards: 4, optimizer })).toThrow(
      expect.objectContaining({
        code: 'LIMIT',
        message: expect.stringMatching(
          /784 - 65536 - 65536 - 10 with 4 virtual shards needs \d+\.\d GiB/,
        ),
      }),
    );
  });
});
