import { expect, it } from 'vitest';
import { confidence, worst } from '../../../../shared/evaluation/worst.ts';

const mistake = (index: number, predicted: number, probabilities: readonly number[]) => ({
  index,
  true: 0,
  predicted,
  probabilities,
  loss: 1,
});

it('worst returns the most confident mistakes first, and equally confident ones by index', () => {
  const wrong = [
    mistake(6, 1, [0.25, 0.75]),
    mistake(4, 1, [0.1, 0.9]),
    mistake(1, 1, [0.25, 0.75]),
    mistake(9, 2, [0.2, 0.3, 0.5]),
  ];
  expect(wrong.map(confidence)).toEqual([0.75, 0.9, 0.75, 0.5]);
  expect(worst(wrong, 3).map(({ index }) => index)).toEqual([4, 1, 6]);
  expect(wrong.map(({ index }) => index)).toEqual([6, 4, 1, 9]);
});
