import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.ts';

/** What `npm run sim` was asked for (run.mjs). */
const FIRST_SEED = Number(process.env['MNIST_DIST_SIM_SEED'] ?? 1);
const SEEDS = Number(process.env['MNIST_DIST_SIM_SEEDS'] ?? 500);

describe('a simulated cluster', () => {
  it(
    `trains to the undisturbed bytes whatever fails: ${SEEDS} times from seed ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      let faults = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) faults += (await simulate(seed)).faults;
      expect(faults).toBeGreaterThanOrEqual(SEEDS - 1);
    },
  );

  it(
    `finds a liar where everything is audited: ${SEEDS} times from seed ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) await simulate(seed, 'liar');
    },
  );

  it('happens again in the same way from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });
});
