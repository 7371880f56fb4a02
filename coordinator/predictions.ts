import { createHash } from 'node:crypto';
import type { Tensor } from '../shared/wire/frame.ts';
import { evaluationRows } from '../shared/arithmetic/model-size.ts';
import {
  evaluatedSets,
  samplesIn,
  type EvaluatedSet,
  type SetSizes,
} from '../shared/evaluation/evaluated-set.ts';
import type { ModelShape } from '../shared/arithmetic/model-shape.ts';
import { createKernels, type Kernels } from '../shared/kernels/kernels.ts';
import { broken, type Receipt } from './tensors.ts';

/** Floats of a chunk's predictions. */
export function chunkFloatsOf(model: ModelShape): number {
  return evaluationRows(model) * (2 + model.classes);
}

/**
 * The predictions of one evaluation, in sample order: a class, a loss and one probability per
 * class.
 */
export class Predictions {
  /** Floats per sample. */
  readonly width: number;
  readonly #sizes: SetSizes;
  /** Room for the larger set. */
  readonly #values: Float32Array;
  readonly #kernels: Kernels;
  readonly #scratch: number;
  readonly #chunkFloats: number;

  constructor(sizes: SetSizes & { readonly model: ModelShape }) {
    const { model } = sizes;
    const rows = evaluationRows(model);
    const samples = Math.max(...evaluatedSets.map((set) => samplesIn(set, sizes)));
    this.#sizes = sizes;
    this.width = 2 + model.classes;
    this.#chunkFloats = chunkFloatsOf(model);
    this.#values = new Float32Array(Math.ceil(samples / rows) * this.#chunkFloats);
    this.#kernels = createKernels(4 * this.#chunkFloats + 1024);
    this.#scratch = this.#kernels.allocate(4 * this.#chunkFloats);
  }

  /** Copies in and checks a chunk's body, which counts only after `accept`. */
  receive(chunk: Tensor, isDigested = false): Receipt {
    if (chunk.byteLength !== 4 * this.#chunkFloats) return broken(chunk);
    if (!chunk.copyTo(this.#kernels.bytes(this.#scratch, chunk.byteLength))) return broken(chunk);
    const actual = this.#kernels.check(this.#scratch, this.#chunkFloats);
    if (actual.checksum !== chunk.checksum) return broken(chunk);
    const digest = isDigested ? this.#digest() : undefined;
    const wrongClass = this.#wrongClass();
    return { intact: true, stale: false, finite: actual.finite, digest, wrongClass };
  }

  /** SHA-256 of the chunk's body. */
  #digest(): string {
    const bytes = this.#kernels.bytes(this.#scratch, 4 * this.#chunkFloats);
    return createHash('sha256').update(bytes).digest('hex');
  }

  /** The first predicted class that the model does not have; undefined if there is none. */
  #wrongClass(): number | undefined {
    const values = this.#kernels.floats(this.#scratch, this.#chunkFloats);
    for (let at = 0; at < values.length; at += this.width) {
      const predicted = values[at] ?? NaN;
      if (!Number.isInteger(predicted) || predicted < 0 || predicted >= this.width - 2)
        return predicted;
    }
    return undefined;
  }

  accept(chunk: number): void {
    this.#values.set(
      this.#kernels.floats(this.#scratch, this.#chunkFloats),
      chunk * this.#chunkFloats,
    );
  }

  /** All predictions for this set, [samples, width], without the last chunk's padding. */
  all(set: EvaluatedSet): Float32Array {
    return this.#values.subarray(0, samplesIn(set, this.#sizes) * this.width);
  }
}
