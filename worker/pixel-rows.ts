import type { Kernels } from '../shared/kernels/kernels.ts';
import type { AugmentedRows } from './augmented-rows.ts';

/** At most this many bytes are converted in one call, unless a single row has more. */
const STAGE_BYTES = 32_768;

/**
 * Writes rows of pixels into the kernels' memory as float32(pixel / 255). The kernel reads only its
 * own memory, so the bytes are first copied into a part of it that stays in the processor's cache.
 */
export class PixelRows {
  readonly #kernels: Kernels;
  readonly #inputs: number;
  readonly #stage: Uint8Array;
  readonly #rows: number;

  constructor(kernels: Kernels, inputs: number, maxRows: number) {
    this.#kernels = kernels;
    this.#inputs = inputs;
    this.#rows = stagedRows(inputs, maxRows);
    const bytes = this.#rows * inputs;
    this.#stage = kernels.bytes(kernels.allocate(bytes), bytes);
  }

  /** Kernel memory that the object uses, in bytes. `maxRows` is the usual number of rows. */
  static bytes(inputs: number, maxRows: number): number {
    return Math.ceil((stagedRows(inputs, maxRows) * inputs) / 64) * 64;
  }

  /**
   * Writes the rows of `count` samples, `sampleOf(0)` and so on, to address `to`, as they are or as
   * `augmented` moves them in this epoch.
   */
  write(
    images: Uint8Array,
    sampleOf: (row: number) => number,
    count: number,
    to: number,
    augmented?: { readonly rows: AugmentedRows; readonly epoch: number },
  ): void {
    const inputs = this.#inputs;
    for (let first = 0; first < count; first += this.#rows) {
      const rows = Math.min(this.#rows, count - first);
      for (let row = 0; row < rows; row++) {
        const from = sampleOf(first + row) * inputs;
        this.#stage.set(images.subarray(from, from + inputs), row * inputs);
      }
      if (augmented !== undefined)
        for (let row = 0; row < rows; row++) {
          const at = this.#stage.byteOffset + row * inputs;
          augmented.rows.move(at, sampleOf(first + row), augmented.epoch);
        }
      this.#kernels.pixels(to + 4 * first * inputs, this.#stage.byteOffset, rows * inputs);
    }
  }
}

function stagedRows(inputs: number, maxRows: number): number {
  return Math.max(1, Math.min(maxRows, Math.floor(STAGE_BYTES / inputs)));
}
