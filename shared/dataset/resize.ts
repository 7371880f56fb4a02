import type { RawHalf } from './formats/raw-set.ts';
import type { ImageSize } from './image-size.ts';

/**
 * Resizes a gray picture of any size to `rows` x `columns`. The new picture covers the old one
 * exactly; the value of a new pixel is the mean of the area that it covers, weighted by area, and
 * rounded to the nearest whole number, halves up. All sums are whole numbers below 2^53, so that
 * the bytes are the same on every machine:
 *
 *     value = floor((2 * sum + area) / (2 * area)), where area = old rows x old columns
 *     sum = pixel x overlap of rows x overlap of columns, over all old pixels
 *
 * in units in which an old pixel is `rows` high and `columns` wide, and a new one is as high and as
 * wide as the old picture has rows and columns.
 */
export function resize(
  from: ImageSize,
  pixels: Uint8Array,
  to: ImageSize,
  target: Uint8Array,
): void {
  const rows = overlaps(from.rows, to.rows);
  const columns = overlaps(from.columns, to.columns);
  const area = from.rows * from.columns;
  const line = new Float64Array(to.columns);
  const sums = new Float64Array(to.columns);
  let lineRow = -1;
  for (let row = 0; row < to.rows; row++) {
    sums.fill(0);
    for (let i = rows.starts[row] ?? 0; i < (rows.starts[row + 1] ?? 0); i++) {
      const source = rows.sources[i] ?? 0;
      if (source !== lineRow) {
        lineRow = source;
        narrow(pixels.subarray(source * from.columns, (source + 1) * from.columns), columns, line);
      }
      const length = rows.lengths[i] ?? 0;
      for (let column = 0; column < sums.length; column++)
        sums[column] = (sums[column] ?? 0) + length * (line[column] ?? 0);
    }
    for (let column = 0; column < sums.length; column++)
      target[row * to.columns + column] = Math.floor((2 * (sums[column] ?? 0) + area) / (2 * area));
  }
}

/** Sums the pixels of one line for each new pixel. */
function narrow(pixels: Uint8Array, columns: Overlaps, line: Float64Array): void {
  const { starts, sources, lengths } = columns;
  for (let column = 0; column < line.length; column++) {
    let sum = 0;
    for (let i = starts[column] ?? 0; i < (starts[column + 1] ?? 0); i++)
      sum += (lengths[i] ?? 0) * (pixels[sources[i] ?? 0] ?? 0);
    line[column] = sum;
  }
}

/** All images of half a dataset, resized. */
export function resizeAll(half: RawHalf, to: ImageSize): Uint8Array {
  if (half.rows === to.rows && half.columns === to.columns) return half.images;
  const [before, after] = [half.rows * half.columns, to.rows * to.columns];
  const images = new Uint8Array(half.samples * after);
  for (let i = 0; i < half.samples; i++) {
    const source = half.images.subarray(i * before, (i + 1) * before);
    resize(half, source, to, images.subarray(i * after, (i + 1) * after));
  }
  return images;
}

/** Which old pixels of a line each new pixel covers, and how much of each. */
interface Overlaps {
  /** New pixel `i` covers the entries from starts[i] to before starts[i + 1]. */
  readonly starts: Uint32Array;
  /** The index of the old pixel, and the length of the overlap. */
  readonly sources: Uint32Array;
  readonly lengths: Uint32Array;
}

/** For a line of `from` pixels of length `to` that becomes `to` pixels of length `from`. */
function overlaps(from: number, to: number): Overlaps {
  const starts = new Uint32Array(to + 1);
  // Each end of an old or a new pixel begins at most one entry.
  const sources = new Uint32Array(from + to);
  const lengths = new Uint32Array(from + to);
  let next = 0;
  for (let i = 0; i < to; i++) {
    starts[i] = next;
    const [begin, end] = [i * from, (i + 1) * from];
    for (let source = Math.floor(begin / to); source * to < end; source++) {
      sources[next] = source;
      lengths[next++] = Math.min(end, (source + 1) * to) - Math.max(begin, source * to);
    }
  }
  starts[to] = next;
  return { starts, sources, lengths };
}
