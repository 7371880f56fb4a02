import { expect, it } from 'vitest';
import { simulate } from './simulate.ts';

const FIRST_SEED = Number(process.env['MNIST_DIST_SIM_SEED'] ?? 1);
const SEEDS = Math.min(40, Number(process.env['MNIST_DIST_SIM_SEEDS'] ?? 40));
/** With fewer seeds, there may be no stale weights. */
const FEW_SEEDS = 20;

it(
  `a run finishes although processes are suspended and resumed: ${SEEDS} seeds from ${FIRST_SEED}`,
  { timeout: SEEDS * 1_000 + 60_000 },
  async () => {
    let stale = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const result = await simulate(seed, 'suspended');
      expect(result.faults).toBe(1);
      stale += result.stale;
    }
    if (SEEDS >= FEW_SEEDS && process.platform === 'linux') expect(stale).toBeGreaterThan(0);
  },
);
