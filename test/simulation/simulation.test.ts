import { describe, expect, it } from 'vitest';
import { simulateFaults, simulateLiars } from './seeds.ts';
import { simulate } from './simulate.ts';

/** Set by `npm run sim` (run.mjs). */
const FIRST_SEED = Number(process.env['MNIST_DIST_SIM_SEED'] ?? 1);
const SEEDS = Number(process.env['MNIST_DIST_SIM_SEEDS'] ?? 500);

describe('a simulated cluster', () => {
  it(
    `reaches an undisturbed run's bytes despite all faults: ${SEEDS} seeds from ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => await simulateFaults(FIRST_SEED, SEEDS),
  );

  it(
    `finds a liar if everything is audited: ${SEEDS} seeds from ${FIRST_SEED}`,
    { timeout: SEEDS * 1_000 + 60_000 },
    async () => await simulateLiars(FIRST_SEED, SEEDS),
  );

  it('behaves identically for the same seed', async () => {
    expect(await simulate(7)).toEqual(await simulate(7));
  });
});
