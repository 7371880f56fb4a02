import { expect, it } from 'vitest';
import { median, upperMedian } from '../../../shared/median.ts';

it('takes the middle by value, and the mean of two middle values', () => {
  expect(median([10, 9, 100])).toBe(10);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

it('takes the upper of two middle values where a value of the list is wanted', () => {
  expect(upperMedian([10, 9, 100])).toBe(10);
  expect(upperMedian([4, 1, 3, 2])).toBe(3);
  expect(upperMedian([])).toBe(0);
});
