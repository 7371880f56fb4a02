import { expect, it } from 'vitest';
import { count, duration, fourDigits, percent } from '../../../../shared/text/number-format.ts';

it.each([
  [count(0), '0'],
  [count(999), '999'],
  [count(1_234_567.4), '1,234,567'],
  [count(undefined), '–'],
  [percent(0), '0.00 %'],
  [percent(0.976_24), '97.62 %'],
  [percent(0.999_99), '99.99 %'],
  [percent(1), '100.00 %'],
  [percent(0.6249, 0), '62 %'],
  [percent(NaN), '–'],
  [fourDigits(0.081_234_5), '0.0812'],
  [fourDigits(2.345_67), '2.346'],
  [fourDigits(Infinity), '–'],
  [duration(0), '0:00'],
  [duration(83.4), '1:23'],
  [duration(3723), '1:02:03'],
  [duration(NaN), '–'],
])('formats a number as %s', (text, expected) => {
  expect(text).toBe(expected);
});
