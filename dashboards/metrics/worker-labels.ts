import { FORGET_WORKER_MILLISECONDS, MAX_OBSERVED_WORKERS } from '../../shared/limits.ts';
import { COORDINATOR, OTHER_WORKERS } from './catalogue.ts';

/** Labels that no worker can have to itself. */
const reserved: ReadonlySet<string> = new Set([COORDINATOR, OTHER_WORKERS]);

/**
 * The labels of workers in metrics and on the page: the first 64 workers get their own names, and
 * all others get `other`. A label becomes free when its worker has been gone for a long time, or
 * earlier if another worker needs it. A worker labelled `other` keeps that label, because its
 * counts are already part of that sum.
 */
export class WorkerLabels {
  /** Labels by worker name. */
  readonly #labels = new Map<string, string>();
  /** When each absent worker with its own label left, longest absence first. */
  readonly #gone = new Map<string, number>();
  readonly #own = new Set<string>();
  #forgotten: string[] = [];

  /** Returns a worker's label; gives the worker one if it has none. */
  of(name: string): string {
    const known = this.#labels.get(name);
    if (known !== undefined) return known;
    if (reserved.has(name)) return OTHER_WORKERS;
    const [replaced] = this.#gone.keys();
    if (this.#own.size >= MAX_OBSERVED_WORKERS && replaced !== undefined) this.#forget(replaced);
    const label = this.#own.size >= MAX_OBSERVED_WORKERS ? OTHER_WORKERS : name;
    this.#labels.set(name, label);
    if (label === name) this.#own.add(name);
    return label;
  }

  /** A worker's label; undefined if the worker has none or was forgotten. */
  find(name: string): string | undefined {
    return reserved.has(name) ? OTHER_WORKERS : this.#labels.get(name);
  }

  /** Records which workers are connected; `now` is in milliseconds on a monotonic clock. */
  look(present: ReadonlySet<string>, now: number): void {
    for (const label of this.#own) {
      const since = this.#gone.get(label);
      if (present.has(label)) this.#gone.delete(label);
      else if (since === undefined) this.#gone.set(label, now);
      else if (now - since >= FORGET_WORKER_MILLISECONDS) this.#forget(label);
    }
  }

  /** The labels that have become free since the last call. */
  takeForgotten(): readonly string[] {
    const forgotten = this.#forgotten;
    this.#forgotten = [];
    return forgotten;
  }

  #forget(label: string): void {
    this.#gone.delete(label);
    this.#own.delete(label);
    this.#labels.delete(label);
    this.#forgotten.push(label);
  }
}
