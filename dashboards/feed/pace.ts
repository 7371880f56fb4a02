const MEMORY_MILLISECONDS = 3000;
/**
 * A run that has been silent for so long, and for as long as ten steps took, has a rest that nobody
 * can tell.
 */
const MIN_STALL_MILLISECONDS = 5000;
const STALL_STEPS = 10;

/** Steps per second lately: a mean over about three seconds of steps that followed one another. */
export class Pace {
  #last: { readonly step: number; readonly at: number } | undefined;
  #stepsPerSecond: number | undefined;

  /**
   * `at` in milliseconds of any clock that does not go back. A run that waits for workers has no
   * pace, and keeps the one it had.
   */
  turn(step: number, at: number, isWaiting = false): void {
    const last = this.#last;
    if (isWaiting) this.#last = undefined;
    else if (last === undefined || step < last.step) this.#last = { step, at };
    if (isWaiting || last === undefined || at <= last.at || step <= last.step) return;
    this.#last = { step, at };
    const now = (1000 * (step - last.step)) / (at - last.at);
    const weight = 1 - Math.exp((last.at - at) / MEMORY_MILLISECONDS);
    this.#stepsPerSecond =
      this.#stepsPerSecond === undefined
        ? now
        : this.#stepsPerSecond + weight * (now - this.#stepsPerSecond);
  }

  /**
   * Undefined before two steps were seen, while workers are waited for, and where steps have
   * stopped.
   */
  secondsFor(steps: number, at: number): number | undefined {
    const rate = this.#stepsPerSecond;
    if (rate === undefined || this.#last === undefined) return undefined;
    const patience = Math.max(MIN_STALL_MILLISECONDS, (1000 * STALL_STEPS) / rate);
    return at - this.#last.at > patience ? undefined : steps / rate;
  }
}
