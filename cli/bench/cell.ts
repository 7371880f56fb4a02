/** One cell of a table: something that can be measured again and again. */
export interface Cell {
  /** For the progress line: "kernel sum", "wire, 2 workers". */
  readonly name: string;
  /** Measures once and keeps the result. */
  measure(): Promise<void>;
}

/**
 * Measures every cell once, then every cell once more, and so on: what disturbs the machine for a
 * while disturbs all of them alike, so that their medians can be compared. `before` is told what
 * comes next; an aborted signal ends it.
 */
export async function interleave(
  cells: readonly Cell[],
  repetitions: number,
  signal: AbortSignal,
  before: (cell: Cell, repetition: number, done: number) => void,
): Promise<void> {
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const [i, cell] of cells.entries()) {
      before(cell, repetition, (repetition - 1) * cells.length + i);
      // A turn of the event loop, so that Ctrl-C is heard between measurements that block it.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      await cell.measure();
    }
  }
}
