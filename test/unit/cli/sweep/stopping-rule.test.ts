import { describe, expect, it } from 'vitest';
import { stopOf } from '../../../../cli/sweep/stopping-rule.ts';

/** The evaluations of a trial that had these accuracies after its epochs. */
function scores(...accuracies: number[]) {
  return accuracies.map((accuracy, i) => ({ step: 10 * (i + 1), epoch: i + 1, accuracy, loss: 1 }));
}

const earlier = [scores(0.5, 0.9), scores(0.8, 0.7), scores(0.6, 0.95)];

describe('the median rule', () => {
  it('stops a trial whose best is below the median of bests at its epoch', () => {
    expect(stopOf(scores(0.85, 0.6), earlier, 1)).toEqual({ epoch: 2, best: 0.85, median: 0.9 });
    expect(stopOf(scores(0.59), earlier, 1)).toEqual({ epoch: 1, best: 0.59, median: 0.6 });
    expect(stopOf(scores(0.9, 0.1), earlier, 1)).toBeUndefined();
    expect(stopOf(scores(0.6), earlier, 1)).toBeUndefined();
  });

  it('takes the mean of the two in the middle', () => {
    const two = earlier.slice(0, 2);
    expect(stopOf(scores(0.64), two, 1)).toMatchObject({ median: 0.65 });
    expect(stopOf(scores(0.65), two, 1)).toBeUndefined();
  });

  it('judges only from its epoch on', () => {
    expect(stopOf(scores(0.1), earlier, 2)).toBeUndefined();
    expect(stopOf(scores(0.1, 0.2), earlier, 2)).toBeDefined();
  });

  it('does not count trials that did not reach the epoch', () => {
    const short = [scores(0.99), scores(0.5, 0.5)];
    expect(stopOf(scores(0.6, 0.6), short, 1)).toBeUndefined();
    expect(stopOf(scores(0.6, 0.6), [scores(0.99)], 1)).toBeUndefined();
    expect(stopOf([], earlier, 1)).toBeUndefined();
  });
});
