import type { ResultReport } from '../../coordinator/driver.ts';

/** What the results of one worker took in the open step. */
interface Delivery {
  computed: number;
  arrived: number;
  isOpen: boolean;
}

/** One worker's part in a step that is done, in milliseconds. */
export interface WorkerPhases {
  readonly worker: string;
  readonly compute: number;
  /**
   * From the weights to its last result, without what it computed: the way there and back, and the
   * wait for its turn.
   */
  readonly exchange: number;
}

/** Splits the time of each step by worker. */
export class Phases {
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

  /**
   * The step is done: calls `each` for every worker that delivered. A clock that runs fast makes no
   * negative time.
   */
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
