import { expect, it } from 'vitest';
import { median, upperMedian } from '../../../shared/median.ts';

it('the median is the middle value, or the mean of the two middle values', () => {
  expect(median([10, 9, 100])).toBe(10);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

it('the upper median is the upper of the two middle values', () => {
  expect(upperMedian([10, 9, 100])).toBe(10);
  expect(upperMedian([4, 1, 3, 2])).toBe(3);
  expect(upperMedian([])).toBe(0);
});
