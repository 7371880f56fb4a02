import type { Clock } from '../../shared/clock.ts';

interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
  cancelled: boolean;
}

const EPOCH_MILLISECONDS = Date.UTC(2026, 0, 1);

/**
 * Time that passes only when nothing is left to do at this moment; tasks for the same moment run in
 * the order in which they were scheduled.
 */
export class VirtualTime implements Clock {
  #now = 0;
  #skew = 0;
  #order = 0;
  /** Latest first, so that the next task is popped. */
  readonly #queue: Scheduled[] = [];

  readonly now = (): number => this.#now;

  readonly date = (): Date => new Date(EPOCH_MILLISECONDS + this.#now + this.#skew);

  /** Shifts the wall clock. */
  setClock(byMilliseconds: number): void {
    this.#skew += byMilliseconds;
  }

  /** Calls `task` once, `milliseconds` from now, unless the returned function is called first. */
  after(milliseconds: number, task: () => void): () => void {
    const scheduled = {
      at: this.#now + milliseconds,
      order: this.#order++,
      task,
      cancelled: false,
    };
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#queue[middle];
      if (other !== undefined && other.at > scheduled.at) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, scheduled);
    return () => {
      scheduled.cancelled = true;
    };
  }

  every(milliseconds: number, task: () => void): () => void {
    let cancel = (): void => undefined;
    const again = (): void => {
      cancel = this.after(milliseconds, again);
      task();
    };
    cancel = this.after(milliseconds, again);
    return () => cancel();
  }

  soon(task: () => void): void {
    this.after(0, task);
  }

  /** Runs the next task; returns false if none is left. */
  step(): boolean {
    const next = this.#queue.pop();
    if (next === undefined) return false;
    if (next.cancelled) return true;
    this.#now = next.at;
    next.task();
    return true;
  }
}
