import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { perClass } from '../../../../shared/evaluation/per-class.ts';
import { score } from '../../../../shared/evaluation/score.ts';

describe('perClass', () => {
  it('matches counts made by hand', () => {
    const confusion = [
      [3, 1, 0],
      [1, 4, 0],
      [2, 0, 1],
    ];
    expect(perClass(confusion)).toEqual([
      { precision: 3 / 6, recall: 3 / 4, f1: 6 / 10, support: 4 },
      { precision: 4 / 5, recall: 4 / 5, f1: 8 / 10, support: 5 },
      { precision: 1, recall: 1 / 3, f1: 2 / 4, support: 3 },
    ]);
  });

  it('returns 0 if a ratio would be 0/0', () => {
    const confusion = [
      [2, 0, 0],
      [1, 0, 0],
      [0, 0, 0],
    ];
    const nothing = { precision: 0, recall: 0, f1: 0 };
    expect(perClass(confusion).slice(1)).toEqual([
      { ...nothing, support: 1 },
      { ...nothing, support: 0 },
    ]);
  });

  it('matches counts of the predictions themselves', () => {
    const sample = fc.record({ label: fc.nat(3), predicted: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
        const values = Float32Array.from(
          samples.flatMap(({ predicted }) => [predicted, 0, 0, 0, 0, 0]),
        );
        const labels = Uint8Array.from(samples, ({ label }) => label);
        const { confusion } = score({ values, labels, classes: 4 });
        for (const [index, found] of perClass(confusion).entries()) {
          const taken = samples.filter(({ predicted }) => predicted === index);
          const ofIt = samples.filter(({ label }) => label === index);
          const hits = taken.filter(({ label }) => label === index).length;
          expect(found.support).toBe(ofIt.length);
          expect(found.precision).toBe(taken.length === 0 ? 0 : hits / taken.length);
          expect(found.recall).toBe(ofIt.length === 0 ? 0 : hits / ofIt.length);
          const sum = found.precision + found.recall;
          expect(found.f1).toBeCloseTo(
            sum === 0 ? 0 : (2 * found.precision * found.recall) / sum,
            12,
          );
        }
      }),
    );
  });
});
