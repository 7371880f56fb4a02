import type { Cell } from './cell.ts';
import { counted } from '../../shared/text/number-format.ts';

/** How bytes travel between the processes of the bench. */
export const transports = ['tcp', 'tls', 'bare tls'] as const;
export type Transport = (typeof transports)[number];

/** Something that exchanges frames with processes of its own. */
export interface ExchangeBench {
  /** For the progress line. */
  readonly name: string;
  readonly transport: Transport;
  /** Starts as many processes as are still missing, and waits until they are connected. */
  gather(workers: number): Promise<void>;
  /** Sends a frame to each of `workers` processes; resolves when each has answered. */
  exchange(workers: number): Promise<void>;
  /** Ends an exchange that is going on. */
  fail(error: unknown): void;
  end(): Promise<void>;
}

export interface ExchangeCell extends Cell {
  readonly workers: number;
  readonly transport: Transport;
  /** Exchanges with all workers a second, one value a repetition. */
  readonly stepsPerSecond: number[];
}

const WARM_UP_STEPS = 20;
/** Before the first repetition: the processes are new, and their code is not compiled yet. */
const FIRST_WARM_UP_STEPS = 200;

/** Exchanges for so many milliseconds in each repetition. */
export function exchangeCell(
  bench: ExchangeBench,
  workers: number,
  milliseconds: number,
): ExchangeCell {
  const stepsPerSecond: number[] = [];
  const { name, transport } = bench;
  return {
    name: `${name}, ${counted(workers, 'worker')}`,
    workers,
    transport,
    stepsPerSecond,
    measure: async () => {
      await bench.gather(workers);
      const warmUp = stepsPerSecond.length === 0 ? FIRST_WARM_UP_STEPS : WARM_UP_STEPS;
      for (let i = 0; i < warmUp; i++) await bench.exchange(workers);
      const started = performance.now();
      for (let steps = 1; ; steps++) {
        await bench.exchange(workers);
        const elapsed = performance.now() - started;
        if (elapsed < milliseconds) continue;
        stepsPerSecond.push((1000 * steps) / elapsed);
        return;
      }
    },
  };
}
