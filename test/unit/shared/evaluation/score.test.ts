import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { misclassified, misclassifiedLines } from '../../../../shared/evaluation/misclassified.ts';
import { score } from '../../../../shared/evaluation/score.ts';

/** Predictions for four samples, with three classes; the third and the fourth are wrong. */
const predictions = {
  values: Float32Array.of(
    0,
    0.5,
    0.75,
    0.25,
    0,
    2,
    0.25,
    0,
    0.25,
    0.75,
    1,
    2,
    0.25,
    0.5,
    0.25,
    0,
    1.25,
    0.5,
    0.25,
    0.25,
  ),
  labels: Uint8Array.of(0, 2, 0, 1),
  classes: 3,
};

describe('score', () => {
  it('matches counts made by hand', () => {
    expect(score(predictions)).toEqual({
      samples: 4,
      correct: 2,
      accuracy: 0.5,
      loss: 1,
      confusion: [
        [1, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
      ],
    });
  });

  it('sums losses in float64 in sample order', () => {
    const losses = [1e8, 0.1, -1e8, 0.3].map(Math.fround);
    const values = Float32Array.from(losses.flatMap((loss) => [0, loss, 1, 0]));
    const sum = losses.reduce((a, b) => a + b, 0);
    expect(score({ values, labels: new Uint8Array(4), classes: 2 }).loss).toBe(sum / 4);
  });

  it('counts every sample once: rows add up to class counts, the diagonal to hits', () => {
    const sample = fc.record({ label: fc.nat(4), predicted: fc.nat(4) });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1 }), (samples) => {
        const values = Float32Array.from(
          samples.flatMap(({ predicted }) => [predicted, 0, 0, 0, 0, 0, 0]),
        );
        const labels = Uint8Array.from(samples, ({ label }) => label);
        const { confusion, correct } = score({ values, labels, classes: 5 });
        confusion.forEach((row, label) => {
          expect(row.reduce((a, b) => a + b)).toBe(labels.filter((each) => each === label).length);
        });
        expect(confusion.reduce((hits, row, i) => hits + (row[i] ?? 0), 0)).toBe(correct);
        expect(misclassified({ values, labels, classes: 5 })).toHaveLength(
          samples.length - correct,
        );
      }),
    );
  });

  it('rejects a class that does not exist and a missing row', () => {
    for (const predicted of [3, -1, 0.5, Number.NaN]) {
      const values = predictions.values.slice();
      values[0] = predicted;
      expect(() => score({ ...predictions, values })).toThrow('sample 0');
    }
    expect(() => score({ ...predictions, labels: new Uint8Array(5) })).toThrow('one row');
  });
});

describe('misclassified', () => {
  it('lists the mistakes in order, with one JSON object per line', () => {
    const wrong = misclassified(predictions);
    expect(wrong).toEqual([
      { index: 2, true: 0, predicted: 1, probabilities: [0.25, 0.5, 0.25], loss: 2 },
      { index: 3, true: 1, predicted: 0, probabilities: [0.5, 0.25, 0.25], loss: 1.25 },
    ]);
    const lines = misclassifiedLines(wrong).split('\n');
    expect(lines.slice(0, 2).map((line): unknown => JSON.parse(line))).toEqual(wrong);
    expect(lines.slice(2)).toEqual(['']);
  });
});
