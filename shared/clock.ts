import {
  CLOCK_LOOK_MILLISECONDS,
  PROCESSOR_LOOK_MILLISECONDS,
  SUSPENSION_MILLISECONDS,
} from './limits.ts';

/** Time and timers, passed in so that a simulated cluster has its own. */
export interface Clock {
  /**
   * Milliseconds in which this process could run. They never decrease, and stop while the process
   * is suspended.
   */
  readonly now: () => number;
  /**
   * The time of day, which may jump in both directions: for display and records, not for measuring.
   */
  readonly date: () => Date;
  /** Calls `task` repeatedly until the returned function is called. */
  every(milliseconds: number, task: () => void): () => void;
  /**
   * Calls `task` once after this time, unless the returned function is called before. It does not
   * keep the process alive.
   */
  after(milliseconds: number, task: () => void): () => void;
  /** Calls `task` once after pending input was read. */
  soon(task: () => void): void;
}

/**
 * A clock that does not count the time in which this process was suspended (SIGSTOP, a sleeping
 * laptop). The process could not receive anything in that time, so no peer is to blame for silence.
 * Time in which a busy event loop was held up counts, because the process used the processor:
 * otherwise a busy loop would postpone every deadline.
 */
export class AwakeClock {
  readonly #monotonic: () => number;
  readonly #processor: () => number;
  #lookedAt: number;
  #skipped = 0;
  /** The processor time at a recent reading, since reading it is slower than reading the clock. */
  #used: number;
  #usedAt: number;

  /**
   * Both functions return milliseconds and never decrease. `processor` is the processor time that
   * this process has used.
   */
  constructor(monotonic: () => number, processor: () => number) {
    this.#monotonic = monotonic;
    this.#processor = processor;
    this.#lookedAt = monotonic();
    this.#used = processor();
    this.#usedAt = this.#lookedAt;
  }

  /** Must be called at least every CLOCK_LOOK_MILLISECONDS: a much longer gap is examined. */
  readonly now = (): number => {
    const at = this.#monotonic();
    if (at - this.#usedAt >= PROCESSOR_LOOK_MILLISECONDS) this.#examine(at, at - this.#lookedAt);
    this.#lookedAt = at;
    return at - this.#skipped;
  };

  #examine(at: number, gap: number): void {
    const used = this.#processor();
    const isSuspension = gap >= SUSPENSION_MILLISECONDS && used - this.#used < gap / 2;
    if (isSuspension) this.#skipped += gap;
    this.#used = used;
    this.#usedAt = at;
  }
}

const awake = new AwakeClock(() => performance.now(), processorMilliseconds);
// For an idle process; the timer does not keep it alive.
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

/** The processor time of all threads of this process, in milliseconds. */
function processorMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
