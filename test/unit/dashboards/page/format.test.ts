import { expect, test } from 'vitest';
import * as format from '../../../../dashboards/page/format.ts';

test.each([
  [format.count(9375), '9,375'],
  [format.count(undefined), '–'],
  [format.percent(0.976_24), '97.62 %'],
  [format.percent(0.999_99), '99.99 %'],
  [format.percent(1), '100.00 %'],
  [format.percent(0.6249, 0), '62 %'],
  [format.percent(NaN), '–'],
  [format.loss(2.3126), '2.31'],
  [format.loss(0.081_23), '0.0812'],
  [format.loss(0), '0'],
  [format.loss(0.000_012), '1.2e-5'],
  [format.loss(NaN), '–'],
  [format.short(9_994), '9,994'],
  [format.short(21_345), '21.3 k'],
  [format.short(999_400), '999 k'],
  [format.short(999_600), '1.00 M'],
  [format.tick(0), '0'],
  [format.tick(100), '100'],
  [format.tick(0.05), '0.05'],
  [format.tick(2500), '2.5 k'],
  [format.tick(100_000), '100 k'],
  [format.duration(75), '1:15'],
  [format.duration(3725), '1:02:05'],
  [format.duration(0), '0:00'],
  [format.duration(undefined), '–'],
  [format.milliseconds(1.44), '1.4 ms'],
  [format.milliseconds(1440), '1,440 ms'],
  [format.counted(1, 'worker'), '1 worker'],
  [format.counted(2, 'worker'), '2 workers'],
  [format.timeOfDay('not a time'), 'not a time'],
  [format.timeOfDay(new Date(2026, 2, 14, 9, 5, 3).toISOString()), '09:05:03'],
  [format.eventName('first_shard'), 'first result'],
  [format.eventName('checkpoint_failed'), 'checkpoint failed'],
  [format.eventName('constructor'), 'constructor'],
])('formats %s', (text, expected) => {
  expect(text).toBe(expected);
});

test('labels round values on a logarithmic axis that starts anywhere', () => {
  expect(format.decades(0.0983, 2.45)).toEqual([0.1, 0.2, 0.5, 1, 2]);
  expect(format.decades(1e-6, 3)).toEqual([1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1]);
  expect(format.decades(0.3, 0.4)).toEqual([]);
});
