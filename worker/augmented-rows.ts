import { augmentBounds, type Augment, type AugmentBounds } from '../shared/arithmetic/augment.ts';
import { surroundedBytes, type Kernels } from '../shared/kernels/kernels.ts';

/** The size of an image. */
interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Augments the images of a run, one at a time, in the kernels' memory. */
export class AugmentedRows {
  readonly #kernels: Kernels;
  readonly #rows: number;
  readonly #columns: number;
  readonly #seed: number;
  readonly #bounds: AugmentBounds;
  readonly #surrounded: number;

  constructor(kernels: Kernels, { rows, columns }: Size, seed: number, augment: Augment) {
    this.#kernels = kernels;
    this.#rows = rows;
    this.#columns = columns;
    this.#seed = seed;
    this.#bounds = augmentBounds(augment);
    this.#surrounded = kernels.allocate(surroundedBytes(rows, columns));
  }

  /** Kernel memory that the object uses, in bytes. */
  static bytes({ rows, columns }: Size): number {
    return Math.ceil(surroundedBytes(rows, columns) / 64) * 64;
  }

  /** Moves the image at address `at`, that of a training sample, as the epoch determines. */
  move(at: number, sample: number, epoch: number): void {
    this.#kernels.augment(at, {
      rows: this.#rows,
      columns: this.#columns,
      surrounded: this.#surrounded,
      seed: this.#seed,
      epoch,
      sample,
      bounds: this.#bounds,
    });
  }
}
