/** Time and timers are passed in, so that a simulated cluster has its own. */
export interface Clock {
  /** Milliseconds that never go back. */
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

export const systemClock: Clock = {
  now: () => performance.now(),
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
