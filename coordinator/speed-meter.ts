const WARM_UP_STEPS = 200;

/** Steps per second after the first 200 steps, the time of evaluations between them not counted. */
export class SpeedMeter {
  readonly #clock: () => number;
  #from: { step: number; at: number } | undefined;
  #to: { step: number; at: number } | undefined;
  #paused = 0;
  /** Paused since the last step; counts only if another one follows. */
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

  /** Time that no step took, in milliseconds. */
  pause(milliseconds: number): void {
    this.#pending += milliseconds;
  }

  /** null where a run was too short to tell. */
  stepsPerSecond(): number | null {
    if (this.#from === undefined || this.#to === undefined || this.#to.step === this.#from.step)
      return null;
    return (
      ((this.#to.step - this.#from.step) * 1000) / (this.#to.at - this.#from.at - this.#paused)
    );
  }
}
