import type { Histogram } from 'prom-client';
import { MAX_PENDING_OBSERVATIONS } from '../../shared/limits.ts';

export type Labels = Readonly<Record<string, string>>;

/**
 * One series of a histogram. It remembers what is observed and hands it on when somebody looks:
 * many at once cost less than each does in the middle of a step, where nothing of the library is in
 * the processor's caches.
 */
export class Series {
  readonly #histogram: Histogram;
  readonly #labels: Labels;
  readonly #values = new Float64Array(MAX_PENDING_OBSERVATIONS);
  #count = 0;

  constructor(histogram: Histogram, labels: Labels) {
    this.#histogram = histogram;
    this.#labels = labels;
  }

  observe(value: number): void {
    if (this.#count === this.#values.length) this.flush();
    this.#values[this.#count] = value;
    this.#count += 1;
  }

  flush(): void {
    for (const value of this.#values.subarray(0, this.#count))
      this.#histogram.observe(this.#labels, value);
    this.#count = 0;
  }

  /** As if nothing had been observed. */
  forget(): void {
    this.#count = 0;
    this.#histogram.remove(this.#labels);
  }
}
