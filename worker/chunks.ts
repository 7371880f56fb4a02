import type { Kernels } from '../shared/kernels/kernels.ts';
import type { Samples } from '../shared/dataset/dataset.ts';
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
  /** The rows of a chunk. The next call reuses the arrays. */
  build(chunk: number): Chunk;
}

/** Kernel memory that a builder uses, in bytes. */
export function chunkBytes(model: ModelShape): number {
  const [rows, inputs] = [evaluationRows(model), inputCount(model)];
  return 4 * rows * inputs + 64 + PixelRows.bytes(inputs, rows);
}

export function createChunks(kernels: Kernels, model: ModelShape, test: Samples): ChunkBuilder {
  const rows = evaluationRows(model);
  const inputsPerRow = inputCount(model);
  const floats = rows * inputsPerRow;
  const inputs = kernels.floats(kernels.allocate(4 * floats), floats);
  const pixels = new PixelRows(kernels, inputsPerRow, rows);
  const labels = new Int32Array(rows);
  const chunks = Math.ceil(test.samples / rows);
  return {
    build(chunk) {
      if (chunk >= chunks)
        throw new ClusterError(
          'PROTOCOL',
          `the coordinator asked for chunk ${chunk}; the test set has ${chunks} chunks`,
        );
      const first = chunk * rows;
      const real = Math.min(rows, test.samples - first);
      pixels.write(test.images, (row) => first + row, real, inputs.byteOffset);
      inputs.fill(0, real * inputsPerRow);
      labels.fill(-1, real);
      labels.set(test.labels.subarray(first, first + real));
      return { inputs, labels };
    },
  };
}
