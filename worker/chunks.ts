import type { Kernels } from '../shared/kernels/kernels.ts';
import type { Samples } from '../shared/dataset/dataset.ts';
import { ClusterError } from '../shared/errors.ts';
import { EVALUATION_CHUNK_ROWS } from '../shared/limits.ts';
import { PixelRows } from './pixel-rows.ts';

/** One evaluation chunk of EVALUATION_CHUNK_ROWS rows; the last chunk is padded. */
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
export function chunkBytes(inputs: number): number {
  return 4 * EVALUATION_CHUNK_ROWS * inputs + 64 + PixelRows.bytes(inputs, EVALUATION_CHUNK_ROWS);
}

export function createChunks(kernels: Kernels, inputsPerRow: number, test: Samples): ChunkBuilder {
  const floats = EVALUATION_CHUNK_ROWS * inputsPerRow;
  const inputs = kernels.floats(kernels.allocate(4 * floats), floats);
  const pixels = new PixelRows(kernels, inputsPerRow, EVALUATION_CHUNK_ROWS);
  const labels = new Int32Array(EVALUATION_CHUNK_ROWS);
  const chunks = Math.ceil(test.samples / EVALUATION_CHUNK_ROWS);
  return {
    build(chunk) {
      if (chunk >= chunks)
        throw new ClusterError(
          'PROTOCOL',
          `the coordinator asked for chunk ${chunk}; the test set has ${chunks} chunks`,
        );
      const first = chunk * EVALUATION_CHUNK_ROWS;
      const real = Math.min(EVALUATION_CHUNK_ROWS, test.samples - first);
      pixels.write(test.images, (row) => first + row, real, inputs.byteOffset);
      inputs.fill(0, real * inputsPerRow);
      labels.fill(-1, real);
      labels.set(test.labels.subarray(first, first + real));
      return { inputs, labels };
    },
  };
}
