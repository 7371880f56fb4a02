const MEMORY_MILLISECONDS = 3000;

/** Steps per second lately: a mean over about three seconds of steps that followed one another. */
export class Pace {
  #last: { readonly step: number; readonly at: number } | undefined;
  #stepsPerSecond: number | undefined;

  /** `at` in milliseconds of any clock that does not go back. */
  turn(step: number, at: number): void {
    const last = this.#last;
    this.#last = { step, at };
    if (last === undefined || at <= last.at || step <= last.step) return;
    const now = (1000 * (step - last.step)) / (at - last.at);
    const weight = 1 - Math.exp((last.at - at) / MEMORY_MILLISECONDS);
    this.#stepsPerSecond =
      this.#stepsPerSecond === undefined ? now : this.#stepsPerSecond + weight * (now - this.#stepsPerSecond);
  }

  /** Undefined before two steps were seen. */
  secondsFor(steps: number): number | undefined {
    return this.#stepsPerSecond === undefined ? undefined : steps / this.#stepsPerSecond;
  }
}
