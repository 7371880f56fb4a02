import type { Random } from '../fixtures/seeded-random.ts';
import type { SimulatedWorker } from './simulated-worker.ts';

/**
 * A worker fault. `weight` is its relative frequency. `strike` injects it and returns its
 * description.
 */
interface Fault {
  readonly weight: number;
  readonly strike: (
    worker: SimulatedWorker,
    random: Random,
    all: readonly SimulatedWorker[],
  ) => string;
}

const faults: readonly Fault[] = [
  {
    weight: 4,
    strike: (worker, random) => {
      const pause = random.between(10, 3_000);
      worker.crash(pause);
      return `is killed, and restarted after ${pause.toFixed(0)} ms`;
    },
  },
  {
    weight: 4,
    strike: (worker, random) => {
      const pause = random.chance(0.3) ? random.between(1_000, 40_000) : random.between(20, 1_000);
      worker.stall(pause);
      return `is stopped for ${pause.toFixed(0)} ms`;
    },
  },
  { weight: 3, strike: (worker) => (worker.wire?.cut(), 'loses its connection') },
  {
    weight: 2,
    strike: (worker) => (
      worker.wire?.silence('coordinator'),
      'can no longer reach the coordinator: half-open'
    ),
  },
  {
    weight: 2,
    strike: (worker) => (
      worker.wire?.silence('worker'),
      'can no longer be reached by the coordinator: half-open'
    ),
  },
  {
    weight: 2,
    strike: (worker, random) => {
      const milliseconds = random.between(50, 2_000);
      worker.wire?.slow(milliseconds);
      return `has a network delay of up to ${milliseconds.toFixed(0)} ms`;
    },
  },
  {
    weight: 2,
    strike: (worker, random) => {
      worker.shardMilliseconds = Math.min(200, worker.shardMilliseconds * random.between(3, 30));
      return `needs ${worker.shardMilliseconds.toFixed(0)} ms per shard`;
    },
  },
  { weight: 2, strike: (worker) => ((worker.isRepeating = true), 'sends every result twice') },
  {
    weight: 2,
    strike: (worker, _, all) => {
      // If two workers disagree about an audited part, or if two of them waver, a third worker is
      // needed, but there may not be one.
      if (worker.isAudited || all.some(({ isWavering }) => isWavering))
        return 'continues undisturbed';
      worker.isWavering = true;
      return 'sends a wrong result after each correct one';
    },
  },
  {
    weight: 1,
    strike: (worker, _, all) => {
      // Only once per simulation: two NaNs for one part would count as a fault in the model.
      if (all.some(({ wasBroken }) => wasBroken)) return 'continues undisturbed';
      worker.isBroken = true;
      worker.wasBroken = true;
      return 'computes a NaN';
    },
  },
];

const sumOfWeights = faults.reduce((sum, { weight }) => sum + weight, 0);

/** Injects a random fault into the worker; returns the fault's description. */
export function strike(
  worker: SimulatedWorker,
  all: readonly SimulatedWorker[],
  random: Random,
): string {
  let at = random.next() * sumOfWeights;
  for (const fault of faults) {
    at -= fault.weight;
    if (at < 0) return fault.strike(worker, random, all);
  }
  throw new Error('the random number exceeds the sum of the weights');
}
