import { CLOCK_LOOK_MILLISECONDS, SUSPENSION_MILLISECONDS } from './limits.ts';

/** Time and timers are passed in, so that a simulated cluster has its own. */
export interface Clock {
  /** Milliseconds in which this process could run: they never go back, and stand still while it is suspended. */
  readonly now: () => number;
  /** The time of day. It may jump in both directions: to be shown and written down, never to measure with. */
  readonly date: () => Date;
  /** Calls `task` again and again until the returned function is called. */
  every(milliseconds: number, task: () => void): () => void;
  /** Calls `task` once, after so long, unless the returned function is called before; no process lives on for it. */
  after(milliseconds: number, task: () => void): () => void;
  /** Calls `task` once, when what has arrived by then was taken. */
  soon(task: () => void): void;
}

/**
 * A clock that does not count the time in which this process was suspended (SIGSTOP, a laptop that sleeps) or its event loop
 * was held up: nothing was heard and nothing could be done meanwhile, so that none of it is anybody's fault.
 */
export class AwakeClock {
  readonly #monotonic: () => number;
  #lookedAt: number;
  #skipped = 0;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
    this.#lookedAt = monotonic();
  }

  /** To be called at least every CLOCK_LOOK_MILLISECONDS: a longer time without a call was no time of this process. */
  readonly now = (): number => {
    const at = this.#monotonic();
    const gap = at - this.#lookedAt;
    if (gap >= SUSPENSION_MILLISECONDS) this.#skipped += gap;
    this.#lookedAt = at;
    return at - this.#skipped;
  };
}

const awake = new AwakeClock(() => performance.now());
// Where nothing else happens; it keeps no process alive.
setInterval(awake.now, CLOCK_LOOK_MILLISECONDS).unref();

export const systemClock: Clock = {
  now: awake.now,
  date: () => new Date(),
  every(milliseconds, task) {
    const timer = setInterval(task, milliseconds);
    return () => clearInterval(timer);
  },
  after(milliseconds, task) {
    const timer = setTimeout(task, milliseconds).unref();
    return () => clearTimeout(timer);
  },
  soon: (task) => void setImmediate(task),
};
