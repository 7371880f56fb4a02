import type { Kernels } from '../shared/kernels/kernels.ts';
import type { Samples } from '../shared/dataset/dataset.ts';
import type { EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import { ClusterError } from '../shared/errors.ts';
import { evaluationRows } from '../shared/arithmetic/model-size.ts';
import { inputCount, type ModelShape } from '../shared/arithmetic/model-shape.ts';
import { PixelRows } from './pixel-rows.ts';

/** One evaluation chunk; the last chunk is padded. */
export interface Chunk {
  /** [rows, inputs] float32(pixel / 255); zeros in padding. */
  readonly inputs: Float32Array;
  /** [rows]; -1 in padding. */
  readonly labels: Int32Array;
}

export interface ChunkBuilder {
  /** The rows of a set's chunk. The next call reuses the arrays. */
  build(set: EvaluatedSet, chunk: number): Chunk;
}

/** Kernel memory that a builder uses, in bytes. */
export function chunkBytes(model: ModelShape): number {
  const [rows, inputs] = [evaluationRows(model), inputCount(model)];
  return 4 * rows * inputs + 64 + PixelRows.bytes(inputs, rows);
}

export function createChunks(
  kernels: Kernels,
  model: ModelShape,
  sets: Readonly<Record<EvaluatedSet, Samples>>,
): ChunkBuilder {
  const rows = evaluationRows(model);
  const inputsPerRow = inputCount(model);
  const floats = rows * inputsPerRow;
  const inputs = kernels.floats(kernels.allocate(4 * floats), floats);
  const pixels = new PixelRows(kernels, inputsPerRow, rows);
  const labels = new Int32Array(rows);
  return {
    build(set, chunk) {
      const samples = sets[set];
      const chunks = Math.ceil(samples.samples / rows);
      if (chunk >= chunks)
        throw new ClusterError(
          'PROTOCOL',
          `the coordinator asked for chunk ${chunk}; the ${set} set has ${chunks} chunks`,
        );
      const first = chunk * rows;
      const real = Math.min(rows, samples.samples - first);
      pixels.write(samples.images, (row) => first + row, real, inputs.byteOffset);
      inputs.fill(0, real * inputsPerRow);
      labels.fill(-1, real);
      labels.set(samples.labels.subarray(first, first + real));
      return { inputs, labels };
    },
  };
}
