// `node run-seeds.js SEEDS [LIKELY]` simulates like simulation.test.ts, without vitest; the seed
// LIKELY comes first. guards.test.ts compiles this program and runs it once per guard.
import { simulateFaults, simulateLiars } from './seeds.ts';

/** Liars are simulated before most faults, because some guards matter only if a worker lies. */
const EARLY_SEEDS = 10;

const [seeds = 0, likely] = process.argv.slice(2).map(Number);
if (likely !== undefined) await simulateFaults(likely, 1);
await simulateFaults(1, EARLY_SEEDS);
await simulateLiars(1, EARLY_SEEDS);
await simulateFaults(1 + EARLY_SEEDS, seeds - EARLY_SEEDS);
await simulateLiars(1 + EARLY_SEEDS, seeds - EARLY_SEEDS);
