const WARM_UP_STEPS = 200;

/** Measures steps per second after the first 200 steps, excluding evaluations. */
export class SpeedMeter {
  readonly #clock: () => number;
  #from: { step: number; at: number } | undefined;
  #to: { step: number; at: number } | undefined;
  #paused = 0;
  /** The pause since the last step, which counts only if another step follows. */
  #pending = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  step(step: number): void {
    if (step < WARM_UP_STEPS) return;
    this.#to = { step, at: this.#clock() };
    if (this.#from === undefined) this.#from = this.#to;
    else this.#paused += this.#pending;
    this.#pending = 0;
  }

  /** Excludes a pause, in milliseconds. */
  pause(milliseconds: number): void {
    this.#pending += milliseconds;
  }

  /** Steps per second; null for a run that is too short. */
  stepsPerSecond(): number | null {
    if (this.#from === undefined || this.#to === undefined || this.#to.step === this.#from.step)
      return null;
    return (
      ((this.#to.step - this.#from.step) * 1000) / (this.#to.at - this.#from.at - this.#paused)
    );
  }
}
