import {
  valuesOf,
  type Convolution,
  type Dense,
  type Operation,
  type Pooling,
} from './model-shape.ts';

/** Numbers of any width. */
export type Floats = Float32Array | Float64Array;

/**
 * Computes one operation on one row in float64, as in a textbook: `to` becomes its output. Dropout
 * copies its input: it changes values only in training.
 */
export function computeLayer(
  operation: Operation,
  weights: Floats,
  from: Floats,
  to: Float64Array,
): void {
  switch (operation.kind) {
    case 'dense':
      dense(operation, weights, from, to);
      break;
    case 'conv2d':
      convolve(operation, weights, from, to);
      break;
    case 'max_pooling2d':
      eachWindow(operation, (output, cells) => {
        to[output] = from[firstLargest(from, cells)] ?? 0;
      });
      return;
    case 'average_pooling2d':
      eachWindow(operation, (output, cells) => {
        to[output] = cells.reduce((sum, cell) => sum + (from[cell] ?? 0), 0) / cells.length;
      });
      return;
    case 'dropout':
      to.set(from);
      return;
  }
  if (operation.activation === 'relu')
    for (let j = 0; j < to.length; j++) to[j] = Math.max(0, to[j] ?? 0);
}

/** to = from * kernel + bias. */
function dense(
  { inputs, units, kernelOffset, biasOffset }: Dense,
  weights: Floats,
  from: Floats,
  to: Float64Array,
): void {
  for (let j = 0; j < units; j++) to[j] = weights[biasOffset + j] ?? 0;
  for (let i = 0; i < inputs; i++) {
    const value = from[i] ?? 0;
    // Most of an image is background.
    if (value === 0) continue;
    const row = kernelOffset + i * units;
    for (let j = 0; j < units; j++) to[j] = (to[j] ?? 0) + value * (weights[row + j] ?? 0);
  }
}

function convolve(operation: Convolution, weights: Floats, from: Floats, to: Float64Array): void {
  const { biasOffset, to: output } = operation;
  const filters = output.channels;
  for (let i = 0; i < to.length; i++) to[i] = weights[biasOffset + (i % filters)] ?? 0;
  eachTap(operation, (input, weight, at) => {
    const value = from[input] ?? 0;
    if (value === 0) return;
    for (let f = 0; f < filters; f++)
      to[at + f] = (to[at + f] ?? 0) + value * (weights[weight + f] ?? 0);
  });
}

/**
 * Calls `visit` for every product of an input value and a row of kernel weights: the index of the
 * input, and the first of `filters` weights and outputs. Positions outside the image are skipped.
 */
export function eachTap(
  { from, to, window, kernelOffset }: Convolution,
  visit: (input: number, weight: number, output: number) => void,
): void {
  const { size, strides, before } = window;
  for (let y = 0; y < to.height; y++)
    for (let x = 0; x < to.width; x++)
      for (let ky = 0; ky < size[0]; ky++) {
        const row = y * strides[0] - before[0] + ky;
        if (row < 0 || row >= from.height) continue;
        for (let kx = 0; kx < size[1]; kx++) {
          const column = x * strides[1] - before[1] + kx;
          if (column < 0 || column >= from.width) continue;
          for (let c = 0; c < from.channels; c++) {
            const weight = ((ky * size[1] + kx) * from.channels + c) * to.channels;
            visit(
              (row * from.width + column) * from.channels + c,
              kernelOffset + weight,
              (y * to.width + x) * to.channels,
            );
          }
        }
      }
}

/**
 * Calls `visit` for every output of a pooling layer, with the inputs in its window, row by row. A
 * window always contains a part of the image.
 */
export function eachWindow(
  { from, to, window }: Pooling,
  visit: (output: number, inputs: readonly number[]) => void,
): void {
  const { size, strides, before } = window;
  for (let output = 0; output < valuesOf(to); output++) {
    const channel = output % to.channels;
    const x = Math.floor(output / to.channels) % to.width;
    const y = Math.floor(output / to.channels / to.width);
    const top = y * strides[0] - before[0];
    const left = x * strides[1] - before[1];
    const cells: number[] = [];
    for (let row = Math.max(0, top); row < Math.min(from.height, top + size[0]); row++)
      for (let column = Math.max(0, left); column < Math.min(from.width, left + size[1]); column++)
        cells.push((row * from.width + column) * from.channels + channel);
    visit(output, cells);
  }
}

/** The cell with the largest value; the first one if there are several. */
export function firstLargest(values: Floats, cells: readonly number[]): number {
  let best = cells[0] ?? 0;
  for (const cell of cells) if ((values[cell] ?? 0) > (values[best] ?? 0)) best = cell;
  return best;
}
