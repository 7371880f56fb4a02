import { describe, expect, it } from 'vitest';
import {
  comparableSplit,
  recordedSplit,
  splitSamples,
} from '../../../../cli/runs/validation-split.ts';

describe('--validation-split', () => {
  it.each([
    [60_000, 0.1, 54_000],
    [60_000, 0.3, 42_000],
    [10, 0.25, 7],
    [3, 0.5, 1],
    // 1 - 0.9 is a little below 0.1, as in Keras.
    [10, 0.9, 0],
  ])('of %i samples by %d trains on the first %i, as Keras does', (samples, split, train) => {
    if (train === 0) return expect(() => splitSamples(samples, split)).toThrow(/training set/);
    const sets = splitSamples(samples, split);
    expect(sets).toEqual({ trainSamples: train, validationSamples: samples - train });
  });

  it('that is not given leaves all samples in the training set', () => {
    expect(splitSamples(100, undefined)).toEqual({ trainSamples: 100 });
    expect(recordedSplit({ trainSamples: 100 })).toBeUndefined();
  });

  it('must leave a sample in each set', () => {
    expect(() => splitSamples(10, 0.95)).toThrow(
      '--validation-split 0.95 leaves no sample in the training set',
    );
    expect(() => splitSamples(1, 0.5)).toThrow(/leaves no sample in the training set/);
    expect(() => splitSamples(10, 1e-17)).toThrow(/leaves no sample in the validation set/);
  });

  it('is the same for a resumed run if it gives the same sets', () => {
    for (let samples = 2; samples < 300; samples++)
      for (let trainSamples = 1; trainSamples < samples; trainSamples++) {
        const recorded = { trainSamples, validationSamples: samples - trainSamples };
        expect(splitSamples(samples, recordedSplit(recorded))).toEqual(recorded);
      }
    const recorded = splitSamples(60_000, 0.1);
    expect(recordedSplit(recorded)).toBe(0.1);
    expect(comparableSplit(0.0999999, recorded)).toBe(0.1);
    expect(comparableSplit(0.2, recorded)).toBe(0.2);
    expect(comparableSplit(undefined, recorded)).toBeUndefined();
    expect(comparableSplit(0.2, { trainSamples: 100 })).toBe(0.2);
  });
});
