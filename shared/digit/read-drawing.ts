import type { Picture } from './normalise.ts';
import type { Rgba } from '../pictures/rgba.ts';

/**
 * Minimum distance between the colours of ink and paper, on a scale of 0 to 255 per channel.
 * Drawings with less contrast are not legible.
 */
const MIN_DISTANCE = 16;
/**
 * How far a pixel of paper may differ from the paper's colour, as a multiple of the median
 * difference along the border.
 */
const NOISE_FACTOR = 6;
const CHANNELS = 3;

type Colour = readonly [red: number, green: number, blue: number];

/**
 * The drawing in an image, dark on light or light on dark: 0 is paper, 1 is the strongest ink. The
 * median colour of the border is taken to be paper, and the colour farthest from it to be ink. A
 * pixel's value is its position between the two. Slightly uneven paper counts as paper. Undefined
 * if nothing is visible.
 */
export function drawingOf({ rows, columns, bytes }: Rgba): Picture | undefined {
  const colours = onPaper(bytes);
  const border = borderOf(rows, columns);
  const medianOf = (channel: number) => medianLevel(colours, border, channel);
  const paper: Colour = [medianOf(0), medianOf(1), medianOf(2)];
  const pixels = shareOfInk(colours, paper);
  if (pixels === undefined) return undefined;
  const differences = new Float32Array(border.length);
  for (let i = 0; i < border.length; i++) differences[i] = Math.abs(pixels[border[i] ?? 0] ?? 0);
  const median = differences.toSorted()[differences.length >> 1] ?? 0;
  const noise = Math.min(0.5, NOISE_FACTOR * median);
  for (let at = 0; at < pixels.length; at++)
    pixels[at] = Math.max(0, ((pixels[at] ?? 0) - noise) / (1 - noise));
  return { rows, columns, pixels };
}

/**
 * Blends the image onto white paper, or onto black paper if the contrast is higher there. Returns
 * the colours, [pixels, 3].
 */
function onPaper(bytes: Uint8Array): Uint8ClampedArray {
  const colours = new Uint8ClampedArray((bytes.length / 4) * CHANNELS);
  const paper = contrast(bytes, 0) > contrast(bytes, 255) ? 0 : 255;
  for (let from = 0, to = 0; from < bytes.length; from += 4) {
    const alpha = (bytes[from + 3] ?? 0) / 255;
    for (let channel = 0; channel < CHANNELS; channel++)
      colours[to++] = paper + alpha * ((bytes[from + channel] ?? 0) - paper);
  }
  return colours;
}

/** The largest squared distance of any pixel from `gray`, weighted by the square of its opacity. */
function contrast(bytes: Uint8Array, gray: number): number {
  let most = 0;
  for (let at = 0; at < bytes.length; at += 4) {
    const seen = (bytes[at + 3] ?? 0) ** 2 * squaredDistance(bytes, at, [gray, gray, gray]);
    most = Math.max(most, seen);
  }
  return most;
}

/**
 * One value per pixel: 0 for the paper's colour, 1 for the colour farthest from it, negative for
 * colours that differ from the paper's in the opposite direction. Undefined if all colours are near
 * the paper's.
 */
function shareOfInk(colours: Uint8ClampedArray, paper: Colour): Float32Array | undefined {
  let [farthest, most] = [0, 0];
  for (let at = 0; at < colours.length; at += CHANNELS) {
    const distance = squaredDistance(colours, at, paper);
    if (distance > most) [farthest, most] = [at, distance];
  }
  if (most < MIN_DISTANCE ** 2) return undefined;
  const pixels = new Float32Array(colours.length / CHANNELS);
  for (const [channel, base] of paper.entries()) {
    const step = ((colours[farthest + channel] ?? 0) - base) / most;
    for (let at = 0; at < pixels.length; at++)
      pixels[at] = (pixels[at] ?? 0) + step * ((colours[at * CHANNELS + channel] ?? 0) - base);
  }
  return pixels;
}

function squaredDistance(values: Uint8Array | Uint8ClampedArray, at: number, to: Colour): number {
  const red = (values[at] ?? 0) - to[0];
  const green = (values[at + 1] ?? 0) - to[1];
  const blue = (values[at + 2] ?? 0) - to[2];
  return red * red + green * green + blue * blue;
}

/** The upper median of one channel's levels, 0 to 255, at these pixels. */
function medianLevel(colours: Uint8ClampedArray, at: Uint32Array, channel: number): number {
  const counts = new Uint32Array(256);
  for (let i = 0; i < at.length; i++) {
    const level = colours[(at[i] ?? 0) * CHANNELS + channel] ?? 0;
    counts[level] = (counts[level] ?? 0) + 1;
  }
  let level = 0;
  for (let left = at.length >> 1; left >= (counts[level] ?? Infinity); level++)
    left -= counts[level] ?? 0;
  return level;
}

/**
 * The indices of the pixels at the edges; a corner occurs twice. A typed array, since an image of
 * one column consists of edges only.
 */
function borderOf(rows: number, columns: number): Uint32Array {
  const border = new Uint32Array(2 * (rows + columns));
  let next = 0;
  for (let column = 0; column < columns; column++) {
    border[next++] = column;
    border[next++] = (rows - 1) * columns + column;
  }
  for (let row = 0; row < rows; row++) {
    border[next++] = row * columns;
    border[next++] = (row + 1) * columns - 1;
  }
  return border;
}
