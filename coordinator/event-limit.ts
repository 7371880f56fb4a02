import {
  EVENT_INTERVAL_MILLISECONDS,
  MAX_INTERVAL_EVENTS,
  MAX_INTERVAL_EVENTS_OF_ONE,
} from '../shared/limits.ts';

/** Events that were not written; without a worker, of many that are not named. */
export interface Suppressed {
  readonly worker: string | undefined;
  readonly count: number;
}

/**
 * Bounds the events that workers cause by coming and going: so many of one name, and of all names
 * together, are written in an interval, and the others are counted. A worker that holds the token
 * and dials again and again cannot fill the disk.
 */
export class EventLimit {
  /**
   * When the interval at hand began, its events that were written, and those of each name that has
   * one.
   */
  #began = -Infinity;
  #total = 0;
  readonly #names = new Map<string, { written: number; suppressed: number }>();
  #suppressedOfOthers = 0;

  /** Whether an event that names this worker is written. Call `take` before. */
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
   * What was suppressed in the interval that is over; nothing while it lasts, unless the run ends.
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
