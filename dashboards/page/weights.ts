import { WEIGHTS_INTERVAL_MILLISECONDS } from './page-limits.ts';

export interface Weights {
  /** After which step. */
  readonly step: number;
  readonly values: Float32Array;
}

/**
 * The newest weights that were fetched. `load` resolves to undefined where there are none; the
 * clock is in milliseconds. QueryPanel as often as anybody draws, it asks at most once a second.
 */
export class WeightSource {
  current: Weights | undefined;
  readonly #load: () => Promise<Weights | undefined>;
  readonly #clock: () => number;
  #panel = -Infinity;
  #isFinal = false;
  #underway: Promise<void> | undefined;

  constructor(load: () => Promise<Weights | undefined>, clock: () => number) {
    this.#load = load;
    this.#clock = clock;
  }

  /** Resolves when `current` is as new as it gets now. */
  refresh(): Promise<void> {
    if (this.#underway !== undefined) return this.#underway;
    const now = this.#clock();
    if (this.#isFinal || now - this.#panel < WEIGHTS_INTERVAL_MILLISECONDS)
      return Promise.resolve();
    this.#panel = now;
    return this.#begin();
  }

  /** Fetches once more, whenever that was done before; these weights stay. */
  async finish(): Promise<void> {
    await this.#underway;
    await this.#begin();
    this.#isFinal = true;
  }

  #begin(): Promise<void> {
    this.#underway = this.#fetch().finally(() => {
      this.#underway = undefined;
    });
    return this.#underway;
  }

  /** Whoever is out of reach leaves the weights as they were. */
  async #fetch(): Promise<void> {
    const loaded = await this.#load().catch(() => undefined);
    if (loaded !== undefined) this.current = loaded;
  }
}
