import { expect, test } from 'vitest';
import { doubtsAbout, singleClass } from '../../../../shared/dataset/doubts.ts';

const classNames = Array.from('ABCDEFGHIJ');
const set = (labels: readonly number[], pixel = 9) => ({
  labels: Uint8Array.from(labels),
  samples: labels.length,
  images: Uint8Array.from(labels, () => pixel),
});

test('a dataset with the same classes in both sets causes no doubt', () => {
  expect(doubtsAbout({ classNames, train: set([1, 2, 2]), test: set([2, 1]) })).toEqual([]);
});

test('a test set without some classes of the training set causes a doubt, and the reverse', () => {
  const [small, large] = [set([3]), set([7, 3, 1])];
  expect(doubtsAbout({ classNames, train: large, test: small })).toEqual([
    'the test set has no sample of the classes B, H, which the training set has: shuffle the rows',
  ]);
  expect(doubtsAbout({ classNames, train: small, test: large })[0]).toMatch(
    /^the training set has no sample of the classes B, H, which the test set has/,
  );
  const all = set([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  expect(doubtsAbout({ classNames, train: all, test: set([0, 1, 2]) })[0]).toMatch(
    /classes D, E, F, G, H, 2 more,/,
  );
  expect(
    doubtsAbout({ classNames, train: all, test: set([1, 2, 3, 4, 5, 6, 7, 8, 9]) })[0],
  ).toMatch(/of the class A, which/);
});

test('pixels of 0 and 1 cause a doubt', () => {
  const labels = [1, 2];
  expect(doubtsAbout({ classNames, train: set(labels, 1), test: set(labels, 1) })).toEqual([
    'no pixel is above 1, but pixels are 0 to 255: multiply them',
  ]);
  expect(doubtsAbout({ classNames, train: set(labels, 2), test: set(labels, 1) })).toEqual([]);
});

test('a training set of one class is told, with its name', () => {
  expect(singleClass({ classNames, train: set([2, 2]), test: set([1]) })).toBe(
    'all 2 training samples are of the class C',
  );
  expect(singleClass({ classNames, train: set([2, 1]), test: set([1]) })).toBeUndefined();
});
