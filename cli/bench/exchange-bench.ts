import type { ServerTls } from '../../coordinator/network/http-server.ts';
import type { Cell } from './cell.ts';
import { counted } from '../../shared/text/number-format.ts';

/** The transports between the processes of the bench. */
export const transports = ['tcp', 'tls', 'bare tls'] as const;
export type Transport = (typeof transports)[number];

/** The certificate of a listener of the bench, and the authority that signed it. */
export interface BenchCertificate extends ServerTls {
  readonly ca: string;
}

/** A benchmark that exchanges frames with processes that it starts. */
export interface ExchangeBench {
  /** Name in the progress line. */
  readonly name: string;
  readonly transport: Transport;
  /** Starts processes up to this number and waits until they are connected. */
  connect(workers: number): Promise<void>;
  /** Sends a frame to each of `workers` processes; resolves when each has answered. */
  exchange(workers: number): Promise<void>;
  /** Makes the running exchange reject with this error. */
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
/** Before the first repetition, since the code of new processes is not compiled yet. */
const FIRST_WARM_UP_STEPS = 200;

/** A cell that exchanges for this many milliseconds in each repetition. */
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
      await bench.connect(workers);
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
