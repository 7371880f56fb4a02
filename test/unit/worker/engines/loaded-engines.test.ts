import { describe, expect, it } from 'vitest';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';
import { MAX_LOADED_ENGINES } from '../../../../shared/limits/sweep.ts';
import { Computation } from '../../../../worker/computation.ts';
import { LoadedEngines } from '../../../../worker/engines/loaded-engines.ts';
import { configuration, dataset } from '../../../fixtures/recorded-run.ts';

const reference = { kind: 'reference', threads: 1, device: 'cpu' } as const;

function shapeOf(units: number) {
  const model = denseModel([1, 4], [units], 0, 10);
  return { model, rowsPerShard: 2, shardCounts: [1, 2], evaluationRows: 8 };
}

describe('the engines of a process', () => {
  it('are loaded once for each shape and choice', async () => {
    const engines = new LoadedEngines();
    const first = await engines.load(shapeOf(8), reference);
    expect(await engines.load(shapeOf(8), reference)).toBe(first);
    expect(await engines.load({ ...shapeOf(8), rowsPerShard: 3 }, reference)).not.toBe(first);
    expect(await engines.load(shapeOf(8), { ...reference, threads: 2 })).not.toBe(first);
  });

  it('are dropped when others were used more recently', async () => {
    const engines = new LoadedEngines();
    const first = await engines.load(shapeOf(1), reference);
    const second = await engines.load(shapeOf(2), reference);
    for (let units = 3; units <= MAX_LOADED_ENGINES; units++)
      await engines.load(shapeOf(units), reference);
    expect(await engines.load(shapeOf(1), reference)).toBe(first);
    await engines.load(shapeOf(100), reference);
    expect(await engines.load(shapeOf(1), reference)).toBe(first);
    expect(await engines.load(shapeOf(2), reference)).not.toBe(second);
  });

  it('compute the same bytes in a later run', async () => {
    const engines = new LoadedEngines();
    await Computation.create(configuration, dataset, reference, engines);
    const other = { ...configuration, seed: configuration.seed + 1 };
    const later = await Computation.create(other, dataset, reference, engines);
    const alone = await Computation.create(other, dataset, reference);
    expect(later.fingerprint).toBe(alone.fingerprint);
  });
});
