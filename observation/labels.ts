import { MAX_OBSERVED_WORKERS } from '../shared/limits.ts';
import { OTHER_WORKERS } from './catalogue.ts';

/** The names under which workers are shown: the first 64 their own, all later ones `other`, however often names change. */
export class WorkerLabels {
  readonly #known = new Set<string>();

  of(name: string): string {
    if (this.#known.has(name)) return name;
    if (this.#known.size >= MAX_OBSERVED_WORKERS) return OTHER_WORKERS;
    this.#known.add(name);
    return name;
  }
}
