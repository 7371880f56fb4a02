import { expect, it } from 'vitest';
import { MAX_CONNECTIONS, MAX_NEWCOMERS, MIN_OPEN_FILES } from '../../../shared/limits.ts';
import { newcomerPlaces } from '../../../shared/open-files.ts';

it('unauthenticated connections leave half of the open files to the process', () => {
  for (const limit of [512, 1024, 4096, 65_536]) {
    const strangers = 2 * newcomerPlaces(limit);
    expect(strangers).toBeLessThanOrEqual((limit - MIN_OPEN_FILES) / 2);
  }
  expect(newcomerPlaces(2 ** 20)).toBe(MAX_NEWCOMERS);
  expect(newcomerPlaces(2 * (MAX_NEWCOMERS + MAX_CONNECTIONS))).toBeGreaterThan(500);
  expect(newcomerPlaces(MIN_OPEN_FILES)).toBeGreaterThan(0);
});
