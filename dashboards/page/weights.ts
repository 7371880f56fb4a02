import {
  inputCount,
  parameterCount,
  type ModelShape,
} from '../../shared/arithmetic/model-shape.ts';
import { predictionExcess } from '../../shared/arithmetic/model-size.ts';
import { WEIGHTS_INTERVAL_MILLISECONDS } from './page-limits.ts';

export interface Weights {
  /** The step that produced them. */
  readonly step: number;
  readonly values: Float32Array;
}

/**
 * The newest weights. `load` resolves to undefined if none are available; `clock` is in
 * milliseconds. However often refresh() is called, it fetches weights at most once per second.
 */
export class WeightSource {
  current: Weights | undefined;
  readonly #load: () => Promise<Weights | undefined>;
  readonly #clock: () => number;
  #requestedAt = -Infinity;
  #isFinal = false;
  #underway: Promise<void> | undefined;

  constructor(load: () => Promise<Weights | undefined>, clock: () => number) {
    this.#load = load;
    this.#clock = clock;
  }

  /** Fetches newer weights if they are due; resolves when `current` is up to date. */
  refresh(): Promise<void> {
    if (this.#underway !== undefined) return this.#underway;
    const now = this.#clock();
    if (this.#isFinal || now - this.#requestedAt < WEIGHTS_INTERVAL_MILLISECONDS)
      return Promise.resolve();
    this.#requestedAt = now;
    return this.#begin();
  }

  /** Fetches the final weights. */
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

  /** A failed request leaves the weights unchanged. */
  async #fetch(): Promise<void> {
    const loaded = await this.#load().catch(() => undefined);
    if (loaded !== undefined) this.current = loaded;
  }
}

/** Why these numbers of weights and pixels give no prediction; undefined if they do. */
export function predictionObstacle(
  model: ModelShape,
  weights: number | undefined,
  pixels: number,
): string | undefined {
  const excess = predictionExcess(model);
  if (excess !== undefined) return `The model is too large to draw for: it ${excess}.`;
  if (weights === undefined) return 'No weights are available yet.';
  if (weights !== parameterCount(model)) return 'The weights do not match the model.';
  return pixels === inputCount(model) ? undefined : 'The dataset does not match the model.';
}
