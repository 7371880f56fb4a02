import type { Random } from '../fixtures/seeded-random.ts';

/**
 * Operations with which faults disturb the coordinator and its disk. The simulation implements
 * them.
 */
export interface CoordinatorWorld {
  /** Kills the coordinator and restarts it after `pause` milliseconds. */
  kill(pause: number): void;
  /**
   * Kills all processes that use the disk, discards all data that was not synced, and restarts the
   * coordinator after `pause` milliseconds.
   */
  cutPower(pause: number): void;
  /** Limits the disk to `bytes` more bytes for `milliseconds`. */
  fillDisk(bytes: number, milliseconds: number): void;
  /** Stops the coordinator for `milliseconds`. */
  stop(milliseconds: number): void;
  /**
   * Stops the coordinator for `milliseconds`; after `pause`, a coordinator on another host takes
   * over.
   */
  supersede(milliseconds: number, pause: number): void;
  /** Starts a second coordinator for the same run. */
  intrude(): void;
  /** Shifts the wall clock by `byMilliseconds`. */
  setClock(byMilliseconds: number): void;
}

interface Fault {
  readonly weight: number;
  readonly strike: (world: CoordinatorWorld, random: Random) => string;
}

const faults: readonly Fault[] = [
  {
    weight: 4,
    strike: (world, random) => {
      const pause = random.between(50, 3_000);
      world.kill(pause);
      return `the coordinator is killed, and restarted after ${pause.toFixed(0)} ms`;
    },
  },
  {
    weight: 4,
    strike: (world, random) => {
      const pause = random.between(50, 3_000);
      world.cutPower(pause);
      return `the power fails, and the coordinator is restarted after ${pause.toFixed(0)} ms`;
    },
  },
  {
    weight: 3,
    strike: (world, random) => {
      const [bytes, milliseconds] = [random.below(3_000), random.between(50, 8_000)];
      world.fillDisk(bytes, milliseconds);
      return `the disk has ${bytes} bytes left for ${milliseconds.toFixed(0)} ms`;
    },
  },
  {
    weight: 1,
    strike: (world, random) => {
      const milliseconds = random.between(10, 5_000);
      world.stop(milliseconds);
      return `the coordinator is stopped for ${milliseconds.toFixed(0)} ms`;
    },
  },
  {
    weight: 4,
    strike: (world, random) => {
      const [milliseconds, pause] = [random.between(10, 20_000), random.between(0, 1_000)];
      world.supersede(milliseconds, pause);
      return (
        `the coordinator is stopped for ${milliseconds.toFixed(0)} ms, ` +
        `and after ${pause.toFixed(0)} ms another host takes over`
      );
    },
  },
  { weight: 1, strike: (world) => (world.intrude(), 'a second coordinator tries to open the run') },
  {
    weight: 1,
    strike: (world, random) => {
      const hours = random.pick([-24, 24]);
      world.setClock(hours * 3_600_000);
      return `the clock is set ${Math.abs(hours)} hours ${hours < 0 ? 'back' : 'forward'}`;
    },
  },
];

const sumOfWeights = faults.reduce((sum, { weight }) => sum + weight, 0);

/** Injects a random fault into the coordinator or its disk; returns the fault's description. */
export function strikeCoordinator(world: CoordinatorWorld, random: Random): string {
  let at = random.next() * sumOfWeights;
  for (const fault of faults) {
    at -= fault.weight;
    if (at < 0) return fault.strike(world, random);
  }
  throw new Error('the random number exceeds the sum of the weights');
}
