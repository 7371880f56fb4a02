import { valuesOf, type Convolution, type Pooling } from '../../shared/arithmetic/model-shape.ts';

// The parts of convolutions and pooling that are not matrix products, in float32. The WebAssembly
// backend has no gradient of a convolution's kernel, and does not say which of equal values gets
// the gradient of a maximum.

/**
 * Calls `visit` for each row of each window, or its part inside the image: the positions of its
 * first value in the images and in the patches, and its number of values.
 */
function eachPatchRow(
  { from, to, window: { size, strides, before } }: Convolution,
  rows: number,
  visit: (input: number, patch: number, values: number) => void,
): void {
  const length = size[0] * size[1] * from.channels;
  for (let row = 0; row < rows; row++)
    for (let y = 0; y < to.height; y++)
      for (let x = 0; x < to.width; x++) {
        const left = x * strides[1] - before[1];
        const skipped = Math.max(0, -left);
        const taps = Math.min(size[1], from.width - left) - skipped;
        if (taps <= 0) continue;
        const patch = ((row * to.height + y) * to.width + x) * length;
        for (let ky = 0; ky < size[0]; ky++) {
          const line = y * strides[0] - before[0] + ky;
          if (line < 0 || line >= from.height) continue;
          const pixel = (row * from.height + line) * from.width + left + skipped;
          const tap = ky * size[1] + skipped;
          visit(pixel * from.channels, patch + tap * from.channels, taps * from.channels);
        }
      }
}

/** Number of values in all patches. */
function patchValues({ from, to, window }: Convolution, rows: number): number {
  return rows * to.height * to.width * window.size[0] * window.size[1] * from.channels;
}

/** The inputs of every window, [rows * height * width, window * channels]; zeros in padding. */
export function patchesOf(
  convolution: Convolution,
  images: Float32Array,
  rows: number,
): Float32Array {
  const patches = new Float32Array(patchValues(convolution, rows));
  eachPatchRow(convolution, rows, (input, patch, values) =>
    patches.set(images.subarray(input, input + values), patch),
  );
  return patches;
}

/** The sum, for every input, of the gradients of its places in the patches. */
export function sumOfPatches(
  convolution: Convolution,
  patches: Float32Array,
  rows: number,
): Float32Array {
  const images = new Float32Array(rows * valuesOf(convolution.from));
  eachPatchRow(convolution, rows, (input, patch, values) => {
    for (let i = 0; i < values; i++)
      images[input + i] = (images[input + i] ?? 0) + (patches[patch + i] ?? 0);
  });
  return images;
}

/** The average of every window, without padding; [rows, outputs]. */
export function averages(pooling: Pooling, images: Float32Array, rows: number): Float32Array {
  const { from, to } = pooling;
  const out = new Float32Array(rows * valuesOf(to));
  eachOutput(pooling, rows, (input, output, { height, width }) => {
    for (let c = 0; c < from.channels; c++) {
      let sum = 0;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          sum += images[input + (y * from.width + x) * from.channels + c] ?? 0;
      out[output + c] = sum / (height * width);
    }
  });
  return out;
}

/** The gradient of the inputs of `averages`. */
export function averagesGradient(
  pooling: Pooling,
  delta: Float32Array,
  rows: number,
): Float32Array {
  const { from } = pooling;
  const out = new Float32Array(rows * valuesOf(from));
  eachOutput(pooling, rows, (input, output, { height, width }) => {
    for (let c = 0; c < from.channels; c++) {
      const share = (delta[output + c] ?? 0) / (height * width);
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const at = input + (y * from.width + x) * from.channels + c;
          out[at] = (out[at] ?? 0) + share;
        }
    }
  });
  return out;
}

/** The maxima of all windows of a layer, and where they are. */
interface Maxima {
  readonly values: Float32Array;
  /** The first position, row by row, if there are several. */
  readonly positions: Int32Array;
}

export function maximaOf(pooling: Pooling, images: Float32Array, rows: number): Maxima {
  const { from, to } = pooling;
  const values = new Float32Array(rows * valuesOf(to));
  const positions = new Int32Array(rows * valuesOf(to));
  eachOutput(pooling, rows, (input, output, { height, width }) => {
    for (let c = 0; c < from.channels; c++) {
      let best = input + c;
      let largest = images[best] ?? 0;
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++) {
          const at = input + (y * from.width + x) * from.channels + c;
          const value = images[at] ?? 0;
          if (value > largest) [best, largest] = [at, value];
        }
      positions[output + c] = best;
      values[output + c] = largest;
    }
  });
  return { values, positions };
}

/** The gradient of the inputs of max pooling. */
export function maximaGradient(
  pooling: Pooling,
  positions: Int32Array,
  delta: Float32Array,
  rows: number,
): Float32Array {
  const out = new Float32Array(rows * valuesOf(pooling.from));
  for (let i = 0; i < positions.length; i++) {
    const at = positions[i] ?? 0;
    out[at] = (out[at] ?? 0) + (delta[i] ?? 0);
  }
  return out;
}

/**
 * Calls `visit` for every window of every row: the positions of the first value in the part of the
 * window that lies in the image, and of the first value of the output; and the size of that part.
 */
function eachOutput(
  { from, to, window: { size, strides, before } }: Pooling,
  rows: number,
  visit: (input: number, output: number, part: { height: number; width: number }) => void,
): void {
  for (let row = 0; row < rows; row++)
    for (let y = 0; y < to.height; y++) {
      const top = Math.max(0, y * strides[0] - before[0]);
      const height = Math.min(from.height, y * strides[0] - before[0] + size[0]) - top;
      for (let x = 0; x < to.width; x++) {
        const left = Math.max(0, x * strides[1] - before[1]);
        const width = Math.min(from.width, x * strides[1] - before[1] + size[1]) - left;
        visit(
          row * valuesOf(from) + (top * from.width + left) * from.channels,
          row * valuesOf(to) + (y * to.width + x) * to.channels,
          { height, width },
        );
      }
    }
}
