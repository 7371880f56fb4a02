import type { BoardRun, BoardView } from '../../board/api.ts';
import { FIRST_CHOSEN, MAX_CHOSEN, RUN_COLOURS } from './board-limits.ts';
import { RunCurve } from './run-curve.ts';

/** A run whose curves are shown. */
export interface ChosenRun {
  readonly run: BoardRun;
  /** Decides its colour, and whether its line is dashed. */
  readonly slot: number;
  /** Undefined until it has been fetched. */
  readonly curve: RunCurve | undefined;
}

/** The board's data, and which runs are chosen. */
export class BoardState {
  view: BoardView | undefined;
  /** Whether the last request failed. */
  isLost = false;
  /** The slot of each chosen run, in the order in which they were chosen. */
  readonly #slots = new Map<string, number>();
  readonly #curves = new Map<string, { readonly revision: string; readonly curve: RunCurve }>();
  /** Whether the runs in the address, or the newest ones, have been chosen. */
  #hasBegun = false;

  take(view: BoardView, wanted: readonly string[]): void {
    this.view = view;
    this.isLost = false;
    if (!this.#hasBegun && view.pending === 0) {
      const known = wanted.filter((name) => this.run(name) !== undefined);
      const newest = view.runs.filter(({ step }) => step > 0).slice(0, FIRST_CHOSEN);
      for (const name of known.length > 0 ? known : newest.map(({ name }) => name))
        this.choose(name);
      // A run that has just been started is chosen after its first step.
      this.#hasBegun = this.#slots.size > 0;
    }
    if (view.pending > 0) return;
    for (const name of this.#slots.keys()) if (this.run(name) === undefined) this.drop(name);
  }

  run(name: string): BoardRun | undefined {
    return this.view?.runs.find((run) => run.name === name);
  }

  isChosen(name: string): boolean {
    return this.#slots.has(name);
  }

  get isFull(): boolean {
    return this.#slots.size >= MAX_CHOSEN;
  }

  slotOf(name: string): number | undefined {
    return this.#slots.get(name);
  }

  choose(name: string): void {
    if (this.isFull || this.isChosen(name)) return;
    const taken = new Set(this.#slots.values());
    for (let slot = 0; slot < MAX_CHOSEN; slot++)
      if (!taken.has(slot)) return void this.#slots.set(name, slot);
  }

  drop(name: string): void {
    this.#slots.delete(name);
    this.#curves.delete(name);
  }

  dropAll(): void {
    for (const name of this.#slots.keys()) this.drop(name);
  }

  get chosen(): ChosenRun[] {
    return [...this.#slots].flatMap(([name, slot]) => {
      const run = this.run(name);
      return run === undefined ? [] : [{ run, slot, curve: this.#curves.get(name)?.curve }];
    });
  }

  /** The chosen runs whose curves have changed since they were fetched. */
  get outdated(): BoardRun[] {
    return this.chosen
      .map(({ run }) => run)
      .filter(({ name, curve }) => this.#curves.get(name)?.revision !== curve);
  }

  setCurve({ name, curve: revision }: BoardRun, curve: RunCurve, isPartial: boolean): void {
    if (this.isChosen(name)) this.#curves.set(name, { revision: isPartial ? '' : revision, curve });
  }
}

/** The number of a slot's colour; the slots after the colours are dashed. */
export function lookOf(slot: number): { readonly colour: number; readonly isDashed: boolean } {
  return { colour: slot % RUN_COLOURS, isDashed: slot >= RUN_COLOURS };
}
