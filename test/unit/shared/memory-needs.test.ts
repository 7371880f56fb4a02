import { describe, expect, it } from 'vitest';
import { DEFAULT_MAX_WORKER_MEMORY_BYTES } from '../../../shared/limits.ts';
import {
  checkCoordinatorMemory,
  checkWorkerMemory,
  workerBytes,
} from '../../../shared/memory-needs.ts';

const MEBIBYTE = 1024 ** 2;
const optimizer = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
const small = { inputs: 784, hidden: [8], classes: 10 };
const wide = { inputs: 784, hidden: [512, 512], classes: 10 };
const large = { inputs: 784, hidden: [2048, 2048], classes: 10 };
const deep = { inputs: 784, hidden: Array.from({ length: 8 }, () => 256), classes: 10 };

describe('the memory that a run needs', () => {
  // Measured in MiB: how much a worker's peak memory exceeds its peak with a batch of 32 and 8
  // hidden units.
  it.each([
    ['wasm', { model: small, batchSize: 16_384, virtualShards: 1, dropout: 0 }, 249],
    ['wasm', { model: deep, batchSize: 4096, virtualShards: 1, dropout: 0 }, 336],
    ['tensorflow', { model: deep, batchSize: 4096, virtualShards: 1, dropout: 0 }, 135],
    ['tensorflow', { model: small, batchSize: 65_536, virtualShards: 1, dropout: 0 }, 1003],
    ['tensorflow', { model: wide, batchSize: 65_536, virtualShards: 8, dropout: 0.2 }, 2259],
    ['tensorflow', { model: wide, batchSize: 65_536, virtualShards: 64, dropout: 0.2 }, 1284],
    ['tensorflow', { model: wide, batchSize: 32_768, virtualShards: 8, dropout: 0.2 }, 1133],
    ['tensorflow', { model: wide, batchSize: 16_384, virtualShards: 1, dropout: 0.2 }, 576],
    ['tensorflow', { model: large, batchSize: 1024, virtualShards: 8, dropout: 0.2 }, 599],
    ['wasm', { model: wide, batchSize: 16_384, virtualShards: 1, dropout: 0.2 }, 1010],
    ['wasm', { model: large, batchSize: 1024, virtualShards: 8, dropout: 0.2 }, 388],
  ] as const)(
    'with %s is at least about the measured need, and at most a quarter more',
    (engine, configuration, measuredMebibytes) => {
      const mebibytes = workerBytes(configuration, engine) / MEBIBYTE;
      expect(mebibytes).toBeGreaterThan(0.95 * measuredMebibytes);
      expect(mebibytes).toBeLessThan(1.25 * measuredMebibytes);
    },
  );

  it('is within the limit for common models', () => {
    const model = { inputs: 784, hidden: [128], classes: 10 };
    for (const engine of ['tensorflow', 'wasm', 'reference'] as const)
      for (const [batchSize, virtualShards] of [
        [32, 4],
        [8192, 8],
        [65_536, 64],
      ] as const) {
        const needing = { model, batchSize, virtualShards, dropout: 0.2 };
        expect(() =>
          checkWorkerMemory(needing, engine, DEFAULT_MAX_WORKER_MEMORY_BYTES),
        ).not.toThrow();
        expect(() => checkCoordinatorMemory({ ...needing, optimizer })).not.toThrow();
      }
  });

  it('is rejected if a worker needs too much, stating the need, the limit and the option', () => {
    const model = { inputs: 784, hidden: Array.from({ length: 16 }, () => 512), classes: 10 };
    const needing = { model, batchSize: 65_536, virtualShards: 1, dropout: 0.2 };
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
    const model = { inputs: 784, hidden: [128], classes: 10 };
    const needing = { model, batchSize: 32, virtualShards: 16, dropout: 0.2 };
    expect(() => checkWorkerMemory(needing, 'wasm', 1)).toThrow(
      /needs \d+\.\d MiB in a worker .* more than 1 byte \(--max-memory-bytes\)/,
    );
    expect(() => checkWorkerMemory(needing, 'wasm', 2048)).toThrow('more than 2.0 KiB');
  });

  it('is rejected if the coordinator needs too much, stating the need', () => {
    const model = { inputs: 784, hidden: [65_536, 65_536], classes: 10 };
    expect(() => checkCoordinatorMemory({ model, virtualShards: 4, optimizer })).toThrow(
      expect.objectContaining({
        code: 'LIMIT',
        message: expect.stringMatching(
          /784-65536-65536-10 with 4 virtual shards needs \d+\.\d GiB/,
        ),
      }),
    );
  });
});
