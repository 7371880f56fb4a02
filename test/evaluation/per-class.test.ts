import { expect, it } from 'vitest';
import { perClass } from '../../evaluation/per-class.ts';

it('precision, recall and F1 of each class', () => {
  const [first, second, third] = perClass([
    [6, 2, 0],
    [1, 3, 0],
    [0, 1, 0],
  ]);
  expect(first).toEqual({ precision: 6 / 7, recall: 6 / 8, f1: 12 / 15, support: 8 });
  expect(second).toEqual({ precision: 3 / 6, recall: 3 / 4, f1: 6 / 10, support: 4 });
  // Never predicted: 0 / 0 is 0.
  expect(third).toEqual({ precision: 0, recall: 0, f1: 0, support: 1 });
});

it('a class that is neither there nor predicted has zeros', () => {
  expect(
    perClass([
      [1, 0],
      [0, 0],
    ])[1],
  ).toEqual({ precision: 0, recall: 0, f1: 0, support: 0 });
});
