import {
  CLOCK_LOOK_MILLISECONDS,
  PROCESSOR_LOOK_MILLISECONDS,
  SUSPENSION_MILLISECONDS,
} from './limits.ts';

/** Time and timers are passed in, so that a simulated cluster has its own. */
export interface Clock {
  /**
   * Milliseconds in which this process could run: they never go back, and stand still while it is
   * suspended.
   */
  readonly now: () => number;
  /**
   * The time of day. It may jump in both directions: to be shown and written down, never to measure
   * with.
   */
  readonly date: () => Date;
  /** Calls `task` again and again until the returned function is called. */
  every(milliseconds: number, task: () => void): () => void;
  /**
   * Calls `task` once, after so long, unless the returned function is called before; no process
   * lives on for it.
   */
  after(milliseconds: number, task: () => void): () => void;
  /** Calls `task` once, when what has arrived by then was taken. */
  soon(task: () => void): void;
}

/**
 * A clock that does not count the time in which this process was suspended (SIGSTOP, a laptop that
 * sleeps): it heard nothing and could do nothing meanwhile, so that no peer is at fault. A process
 * that computes while its event loop is held up uses the processor; that time counts, or a busy
 * loop would put off every deadline.
 */
export class AwakeClock {
  readonly #monotonic: () => number;
  readonly #processor: () => number;
  #lookedAt: number;
  #skipped = 0;
  /**
   * The processor's time at a look shortly before this one: asking for it costs more than the time.
   */
  #used: number;
  #usedAt: number;

  /**
   * Both count milliseconds and never go back; `processor` is the time of the processor that this
   * process has used.
   */
  constructor(monotonic: () => number, processor: () => number) {
    this.#monotonic = monotonic;
    this.#processor = processor;
    this.#lookedAt = monotonic();
    this.#used = processor();
    this.#usedAt = this.#lookedAt;
  }

  /**
   * To be called at least every CLOCK_LOOK_MILLISECONDS: a much longer time without a call is
   * examined.
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

/** The time of the processor that all threads of this process have used. */
function processorMilliseconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
