import { FORGET_WORKER_MILLISECONDS, MAX_OBSERVED_WORKERS } from '../../shared/limits.ts';
import { COORDINATOR, OTHER_WORKERS } from './catalogue.ts';

/** Labels that mean something else. */
const reserved: ReadonlySet<string> = new Set([COORDINATOR, OTHER_WORKERS]);

/**
 * The names under which workers are shown: 64 their own, the others `other`. A worker that was gone
 * for long is forgotten, and sooner where its place is needed, however often names change; one that
 * is `other` stays so, for its counts are in that sum.
 */
export class WorkerLabels {
  /** By name of a worker. */
  readonly #labels = new Map<string, string>();
  /**
   * Own labels of workers that are gone, and since when; whoever has been gone for longest comes
   * first.
   */
  readonly #gone = new Map<string, number>();
  readonly #own = new Set<string>();
  #forgotten: string[] = [];

  /** Gives the worker a label if it has none. */
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

  /** The label of a worker that has one; undefined for one that was forgotten. */
  find(name: string): string | undefined {
    return reserved.has(name) ? OTHER_WORKERS : this.#labels.get(name);
  }

  /** The workers that are there now, in milliseconds of a clock that does not go back. */
  look(present: ReadonlySet<string>, now: number): void {
    for (const label of this.#own) {
      const since = this.#gone.get(label);
      if (present.has(label)) this.#gone.delete(label);
      else if (since === undefined) this.#gone.set(label, now);
      else if (now - since >= FORGET_WORKER_MILLISECONDS) this.#forget(label);
    }
  }

  /** Those that were forgotten since the last call. */
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
