import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.ts';

/** Set by `npm run sim` (run.mjs). */
const FIRST_SEED = Number(process.env['MNIST_DIST_SIM_SEED'] ?? 1);
const SEEDS = Number(process.env['MNIST_DIST_SIM_SEEDS'] ?? 500);
/** With this number of seeds or fewer, means are not meaningful. */
const FEW_SEEDS = 50;

describe('a simulated cluster', () => {
  it(
    `reaches an undisturbed run's bytes despite all faults: ${SEEDS} seeds from ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      let faults = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++)
        faults += (await simulate(seed)).faults;
      // About 17 per seed; individual seeds may have fewer.
      expect(faults).toBeGreaterThanOrEqual(10 * (SEEDS - FEW_SEEDS));
    },
  );

  it(
    `finds a liar if everything is audited: ${SEEDS} seeds from ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      let liars = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++)
        liars += (await simulate(seed, 'liar')).lies > 0 ? 1 : 0;
      // A liar that is never asked has not lied.
      expect(liars).toBeGreaterThanOrEqual(0.8 * (SEEDS - FEW_SEEDS));
    },
  );

  it('behaves identically for the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });
});
