import type { ResultReport } from '../../coordinator/driver.ts';

/** The times of one worker's results in the current step. */
interface Delivery {
  computed: number;
  arrived: number;
  isOpen: boolean;
}

/** One worker's times in a completed step, in milliseconds. */
export interface WorkerPhases {
  readonly worker: string;
  readonly compute: number;
  /** Time from sending the weights to receiving the last result, minus `compute`. */
  readonly exchange: number;
}

/** Measures the phases of each step by worker. */
export class PhaseTimes {
  readonly #deliveries = new Map<string, Delivery>();

  result({ worker, microseconds, milliseconds }: ResultReport): void {
    const delivery = this.#deliveries.get(worker);
    if (delivery === undefined) {
      this.#deliveries.set(worker, {
        computed: microseconds / 1000,
        arrived: milliseconds,
        isOpen: true,
      });
      return;
    }
    delivery.computed = (delivery.isOpen ? delivery.computed : 0) + microseconds / 1000;
    delivery.arrived = milliseconds;
    delivery.isOpen = true;
  }

  forget(worker: string): void {
    this.#deliveries.delete(worker);
  }

  /** Ends the step: calls `each` for every worker with results. No time is negative. */
  step(each: (phases: WorkerPhases) => void): void {
    for (const [worker, delivery] of this.#deliveries) {
      if (!delivery.isOpen) continue;
      delivery.isOpen = false;
      const { arrived } = delivery;
      const compute = Math.min(delivery.computed, arrived);
      each({ worker, compute, exchange: arrived - compute });
    }
  }
}
