import type { ServerTls } from '../../coordinator/network/http-server.ts';
import type { Cell } from './cell.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MEASUREMENT_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { counted } from '../../shared/text/number-format.ts';

/** Transports between the bench's processes. */
export const transports = ['shared memory', 'tcp', 'tls', 'bare tls'] as const;
export type Transport = (typeof transports)[number];

/** A bench listener's certificate, and the authority that signed it. */
export interface BenchCertificate extends ServerTls {
  readonly ca: string;
}

/** A benchmark that exchanges frames with processes that it starts. */
export interface ExchangeBench {
  /** Name in the progress line. */
  readonly name: string;
  readonly transport: Transport;
  /** Starts processes until there are `workers` of them, and waits until all are connected. */
  connect(workers: number): Promise<void>;
  /**
   * Sends a frame to each of `workers` processes, and again once each has answered, until `isLast`
   * returns true after an exchange. An exchange begins as soon as the one before has ended, as in a
   * run, and not in a later turn of the event loop.
   */
  exchange(workers: number, isLast: () => boolean): Promise<void>;
  /** Makes the exchange in progress reject with this error. */
  fail(error: unknown): void;
  end(): Promise<void>;
}

export interface ExchangeCell extends Cell {
  readonly workers: number;
  readonly transport: Transport;
  /** Exchanges with all workers per second, one value per repetition. */
  readonly stepsPerSecond: number[];
}

const WARM_UP_STEPS = 20;
/** Warm-up before the first repetition, since new processes have not compiled their code yet. */
const FIRST_WARM_UP_STEPS = 200;

/** A cell that exchanges frames for `milliseconds` in each repetition. */
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
      const warmUp = stepsPerSecond.length === 0 ? FIRST_WARM_UP_STEPS : WARM_UP_STEPS;
      const limit = setTimeout(
        () => bench.fail(new ClusterError('TIMEOUT', `${name}: a process does not answer`)),
        MEASUREMENT_LIMIT_MILLISECONDS,
      );
      try {
        await bench.connect(workers);
        let left = warmUp;
        await bench.exchange(workers, () => --left === 0);
        let [steps, elapsed] = [0, 0];
        const started = performance.now();
        await bench.exchange(workers, () => {
          steps += 1;
          elapsed = performance.now() - started;
          return elapsed >= milliseconds;
        });
        stepsPerSecond.push((1000 * steps) / elapsed);
      } finally {
        clearTimeout(limit);
      }
    },
  };
}
