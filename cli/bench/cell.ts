/** One cell in a table: a measurement that can be repeated. */
export interface Cell {
  /** Name in the progress line: "kernel add", "wire, 2 workers". */
  readonly name: string;
  /** Measures once and keeps the result. */
  measure(): Promise<void>;
}

/**
 * Measures every cell once per repetition, in turn, so that a disturbance on the machine affects
 * all cells alike and their medians stay comparable. Calls `before` before each measurement.
 * Rejects with the signal's reason once the signal is aborted.
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
      // Lets the event loop run, so that Ctrl-C takes effect between measurements that block it.
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      await cell.measure();
    }
  }
}
