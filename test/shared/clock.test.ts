import { expect, it } from 'vitest';
import { AwakeClock } from '../../shared/clock.ts';
import { SUSPENSION_MILLISECONDS } from '../../shared/limits.ts';

it('a clock stands still while its process is suspended, and never goes back', () => {
  let passed = 1_000;
  const clock = new AwakeClock(() => passed);
  const after = (milliseconds: number) => {
    passed += milliseconds;
    return clock.now();
  };
  const begun = clock.now();
  expect(after(500) - begun).toBe(500);
  expect(after(SUSPENSION_MILLISECONDS - 1) - begun).toBe(500 + SUSPENSION_MILLISECONDS - 1);
  const asleep = clock.now();
  expect(after(26_000)).toBe(asleep);
  expect(after(86_400_000)).toBe(asleep);
  expect(after(10)).toBe(asleep + 10);
});
