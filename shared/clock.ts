import {
  CLOCK_LOOK_MILLISECONDS,
  PROCESSOR_LOOK_MILLISECONDS,
  SUSPENSION_MILLISECONDS,
} from './limits.ts';

/** Time and timers, passed as a parameter so that a simulated cluster can supply its own. */
export interface Clock {
  /**
   * Milliseconds during which this process was able to run. The value never decreases, and does not
   * advance while the process is suspended.
   */
  readonly now: () => number;
  /**
   * The time of day, which may jump in either direction: it is for display and records, not for
   * measurements.
   */
  readonly date: () => Date;
  /** Calls `task` repeatedly until the returned function is called. */
  every(milliseconds: number, task: () => void): () => void;
  /**
   * Calls `task` once after `milliseconds`, unless the returned function is called first. The timer
   * does not keep the process alive.
   */
  after(milliseconds: number, task: () => void): () => void;
  /** Calls `task` once, after pending input has been read. */
  soon(task: () => void): void;
}

/**
 * A clock that does not count time during which this process was suspended (SIGSTOP, a sleeping
 * laptop). The process could not receive anything during that time, so it must not treat its peers
 * as silent. Time during which the event loop was busy does count, because the process was using
 * the processor: otherwise a busy loop would postpone every deadline.
 */
export class AwakeClock {
  readonly #monotonic: () => number;
  readonly #processor: () => number;
  #lookedAt: number;
  #skipped = 0;
  /**
   * The processor time as last read. Reading it is slower than reading the clock, so it is read
   * less often.
   */
  #used: number;
  #usedAt: number;

  /**
   * Both functions return milliseconds that never decrease. `processor` returns the processor time
   * that this process has used.
   */
  constructor(monotonic: () => number, processor: () => number) {
    this.#monotonic = monotonic;
    this.#processor = processor;
    this.#lookedAt = monotonic();
    this.#used = processor();
    this.#usedAt = this.#lookedAt;
  }

  /**
   * Must be called at least every CLOCK_LOOK_MILLISECONDS, because a much longer gap may be taken
   * for a suspension.
   */
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
// Reads the clock even in an idle process; the timer does not keep the process alive.
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
