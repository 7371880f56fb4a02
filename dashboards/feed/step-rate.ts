const MEMORY_MILLISECONDS = 3000;
/**
 * The rate is unknown once no step has completed for this long and for the time of ten average
 * steps.
 */
const MIN_STALL_MILLISECONDS = 5000;
const STALL_STEPS = 10;

/** Steps per second, averaged over about the last three seconds of uninterrupted training. */
export class StepRate {
  #last: { readonly step: number; readonly at: number } | undefined;
  #stepsPerSecond: number | undefined;

  /**
   * `at` is in milliseconds on a monotonic clock. While the run waits for workers, the last rate is
   * kept.
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
   * An estimate of how many seconds `steps` more steps will take; undefined before the second step,
   * while the run waits for workers, and during a stall.
   */
  secondsFor(steps: number, at: number): number | undefined {
    const rate = this.#stepsPerSecond;
    if (rate === undefined || this.#last === undefined) return undefined;
    const patience = Math.max(MIN_STALL_MILLISECONDS, (1000 * STALL_STEPS) / rate);
    return at - this.#last.at > patience ? undefined : steps / rate;
  }
}
