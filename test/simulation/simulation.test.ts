import { describe, expect, it } from 'vitest';
import { simulate } from './simulate.ts';

/** What `npm run sim` was asked for (run.mjs). */
const FIRST_SEED = Number(process.env['MNIST_DIST_SIM_SEED'] ?? 1);
const SEEDS = Number(process.env['MNIST_DIST_SIM_SEEDS'] ?? 500);
/** The mean of so few seeds says nothing. */
const FEW_SEEDS = 50;

describe('a simulated cluster', () => {
  it(
    `trains to the undisturbed bytes despite all faults: ${SEEDS} times from seed ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      let faults = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++)
        faults += (await simulate(seed)).faults;
      // About 17 a seed; a few seeds alone may have less.
      expect(faults).toBeGreaterThanOrEqual(10 * (SEEDS - FEW_SEEDS));
    },
  );

  it(
    `finds a liar where everything is audited: ${SEEDS} times from seed ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => {
      let liars = 0;
      for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++)
        liars += (await simulate(seed, 'liar')).lies > 0 ? 1 : 0;
      // A liar that is never asked has not lied.
      expect(liars).toBeGreaterThanOrEqual(0.8 * (SEEDS - FEW_SEEDS));
    },
  );

  it('repeats exactly from the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });
});
