import {
  EVENT_INTERVAL_MILLISECONDS,
  MAX_INTERVAL_EVENTS,
  MAX_INTERVAL_EVENTS_OF_ONE,
} from '../shared/limits.ts';

/** How many of a worker's events were suppressed; without a name, of several workers together. */
export interface Suppressed {
  readonly worker: string | undefined;
  readonly count: number;
}

/**
 * Limits how many events joining and leaving workers may cause per interval, for each name and for
 * all names together. Events over the limit are only counted, so a worker that keeps reconnecting
 * cannot fill the disk.
 */
export class EventLimit {
  /** The start of the current interval, and the events written in it, in total and by name. */
  #began = -Infinity;
  #total = 0;
  readonly #names = new Map<string, { written: number; suppressed: number }>();
  #suppressedOfOthers = 0;

  /** Whether to write an event about this worker. Call `take` first. */
  admits(worker: string): boolean {
    const isFull = this.#total >= MAX_INTERVAL_EVENTS;
    const known = this.#names.get(worker);
    if (known === undefined && isFull) {
      this.#suppressedOfOthers += 1;
      return false;
    }
    const counts = known ?? { written: 0, suppressed: 0 };
    this.#names.set(worker, counts);
    if (isFull || counts.written >= MAX_INTERVAL_EVENTS_OF_ONE) {
      counts.suppressed += 1;
      return false;
    }
    counts.written += 1;
    this.#total += 1;
    return true;
  }

  /**
   * The events suppressed in the last interval; none until the interval has passed, unless the run
   * is ending.
   */
  take(now: number, isEnd = false): Suppressed[] {
    if (now - this.#began < EVENT_INTERVAL_MILLISECONDS && !isEnd) return [];
    const named = [...this.#names].map(([worker, { suppressed: count }]) => ({ worker, count }));
    const all = [...named, { worker: undefined, count: this.#suppressedOfOthers }];
    this.#began = now;
    this.#total = 0;
    this.#names.clear();
    this.#suppressedOfOthers = 0;
    return all.filter(({ count }) => count > 0);
  }
}
