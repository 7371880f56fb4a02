import type { WorkerPhases } from './worker-phases.ts';

const MEMORY_MILLISECONDS = 1000;

interface Share {
  computed: number;
  exchanged: number;
  computing: number;
  exchanging: number;
}

/**
 * The shares of the step time that each worker spends computing and exchanging, averaged over about
 * a second.
 */
export class TimeShares {
  readonly #shares = new Map<string, Share>();
  #stepped = 0;

  add({ worker, compute, exchange }: WorkerPhases): void {
    const share = this.#shares.get(worker) ?? {
      computed: 0,
      exchanged: 0,
      computing: 0,
      exchanging: 0,
    };
    share.computed += compute;
    share.exchanged += exchange;
    this.#shares.set(worker, share);
  }

  step(milliseconds: number): void {
    this.#stepped += milliseconds;
  }

  /** Updates the means with the steps since the last call, `milliseconds` ago. */
  turn(milliseconds: number): void {
    if (this.#stepped === 0) return;
    const weight = 1 - Math.exp(-milliseconds / MEMORY_MILLISECONDS);
    for (const share of this.#shares.values()) {
      share.computing += weight * (Math.min(1, share.computed / this.#stepped) - share.computing);
      share.exchanging +=
        weight * (Math.min(1, share.exchanged / this.#stepped) - share.exchanging);
      share.computed = 0;
      share.exchanged = 0;
    }
    this.#stepped = 0;
  }

  forget(worker: string): void {
    this.#shares.delete(worker);
  }

  of(worker: string): { readonly computing: number; readonly exchanging: number } {
    const { computing = 0, exchanging = 0 } = this.#shares.get(worker) ?? {};
    return { computing, exchanging };
  }
}
