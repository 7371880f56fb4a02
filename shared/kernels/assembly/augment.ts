import { philox } from './philox';

// Integers only: docs/spec/arithmetic.md specifies each rounding. Sines have 30 bits of fraction,
// what is drawn 16, coordinates 17, and the weights of the four nearest pixels 11.

/** pi times 2^30, rounded. */
const PI: i64 = 3373259426;
const ONE: i64 = 1 << 30;

/** The sine of an angle in 2^-16 turns, times 2^30, by its Taylor series. */
function sine(angle: i32): i64 {
  const within = angle & 0x3fff;
  const folded = angle & 0x4000 ? 0x4000 - within : within;
  const x = (<i64>folded * PI) >> 15;
  const q = (x * x) >> 30;
  let f = ONE;
  for (let n: i64 = 6; n > 0; n--) f = ONE - ((q * f) >> 30) / (2 * n * (2 * n + 1));
  const value = (x * f) >> 30;
  return angle & 0x8000 ? -value : value;
}

/** A draw from -bound .. bound. */
function draw(word: u32, bound: u32): i32 {
  return <i32>((<u64>word * (2 * <u64>bound + 1)) >> 32) - <i32>bound;
}

/**
 * Copies an image into the middle of one with two rows of zeros above and below it, and with two
 * zeros between its rows: before the first pixel of a row and after the last of the row above it.
 */
function surround(to: usize, from: usize, rows: i32, columns: i32): void {
  const stride = <usize>columns + 2;
  to += 2 * stride + 2;
  for (let row = 0; row < rows; row++) {
    const end = from + <usize>columns;
    let at = to;
    while (from + 8 <= end) {
      store<u64>(at, load<u64>(from));
      from += 8;
      at += 8;
    }
    while (from < end) store<u8>(at++, load<u8>(from++));
    to += stride;
  }
}

/** The two neighbouring bytes at each of four addresses, as eight words of 16 bits. */
function pairs(addresses: v128, offset: usize): v128 {
  let bytes = i32x4.splat(0);
  bytes = v128.load16_lane(<usize>i32x4.extract_lane(addresses, 0) + offset, bytes, 0);
  bytes = v128.load16_lane(<usize>i32x4.extract_lane(addresses, 1) + offset, bytes, 1);
  bytes = v128.load16_lane(<usize>i32x4.extract_lane(addresses, 2) + offset, bytes, 2);
  bytes = v128.load16_lane(<usize>i32x4.extract_lane(addresses, 3) + offset, bytes, 3);
  return i16x8.extend_low_i8x16_u(bytes);
}

/** Four pixels at these coordinates, one in each 32-bit lane. `origin` is the address of (0, 0). */
function fourPixels(x: v128, y: v128, rows: i32, columns: i32, origin: i32): v128 {
  // Everything outside the image is 0, so that the first and the last place outside stand for all.
  const before = i32x4.splat(-2);
  const column = i32x4.min_s(i32x4.max_s(i32x4.shr_s(x, 17), before), i32x4.splat(columns));
  const row = i32x4.min_s(i32x4.max_s(i32x4.shr_s(y, 17), before), i32x4.splat(rows));
  const addresses = i32x4.add(
    i32x4.add(i32x4.mul(row, i32x4.splat(columns + 2)), column),
    i32x4.splat(origin),
  );
  const fraction = i32x4.splat(0x7ff);
  const right = v128.and(i32x4.shr_u(x, 6), fraction);
  const down = v128.and(i32x4.shr_u(y, 6), fraction);
  const weights = v128.or(i32x4.sub(i32x4.splat(0x800), right), i32x4.shl(right, 16));
  const upper = i32x4.dot_i16x8_s(pairs(addresses, 0), weights);
  const lower = i32x4.dot_i16x8_s(pairs(addresses, <usize>columns + 2), weights);
  const sum = i32x4.add(i32x4.shl(upper, 11), i32x4.mul(i32x4.sub(lower, upper), down));
  return i32x4.shr_u(i32x4.add(sum, i32x4.splat(1 << 21)), 22);
}

/** Stores the low bytes of the first `count` lanes, at most four. */
function storeBytes(at: usize, four: v128, count: i32): void {
  const packed = i8x16.shuffle(four, four, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
  const bytes = i32x4.extract_lane(packed, 0);
  if (count >= 4) {
    store<u32>(at, bytes);
    return;
  }
  for (let i = 0; i < count; i++) store<u8>(at + i, <u8>(bytes >> (8 * i)));
}

/**
 * Writes the image at `from` to `to`, which may be the same address, one byte per pixel: shifted,
 * rotated and zoomed by amounts that are drawn within the bounds. `surrounded` is memory for the
 * image with a border of zeros, which the kernel never writes.
 */
export function augment(
  to: usize,
  from: usize,
  surrounded: usize,
  rows: i32,
  columns: i32,
  low: u32,
  high: u32,
  epoch: u32,
  sample: u32,
  purpose: u32,
  shift: u32,
  turn: u32,
  zoom: u32,
): void {
  surround(surrounded, from, rows, columns);
  const words = philox(0, sample, epoch, purpose, low, high);
  const dx = <i64>draw(i32x4.extract_lane(words, 0), shift);
  const dy = <i64>draw(i32x4.extract_lane(words, 1), shift);
  const angle = draw(i32x4.extract_lane(words, 2), turn);
  const scale = <i64>(0x10000 + draw(i32x4.extract_lane(words, 3), zoom));
  const a = (scale * sine(angle + 0x4000) + (ONE >> 1)) >> 30;
  const b = (scale * sine(angle) + (ONE >> 1)) >> 30;
  const left = 1 - <i64>columns;
  const top = 1 - <i64>rows;
  // The place of the pixel in the upper left corner. 32 rounds the fraction to 11 bits.
  const x0 = -(left << 16) - ((a * dx + b * dy + 0x4000) >> 15) + a * left + b * top + 32;
  const y0 = -(top << 16) - ((a * dy - b * dx + 0x4000) >> 15) + a * top - b * left + 32;
  const across = <i32>a;
  const aside = <i32>b;
  const lanes = i32x4(0, 2, 4, 6);
  const acrossLanes = i32x4.mul(lanes, i32x4.splat(across));
  const asideLanes = i32x4.mul(lanes, i32x4.splat(aside));
  const origin = <i32>surrounded + 2 * (columns + 2) + 2;
  for (let row = 0; row < rows; row++) {
    let x = i32x4.add(i32x4.splat(<i32>x0 + 2 * row * aside), acrossLanes);
    let y = i32x4.sub(i32x4.splat(<i32>y0 + 2 * row * across), asideLanes);
    for (let column = 0; column < columns; column += 4) {
      storeBytes(to, fourPixels(x, y, rows, columns, origin), columns - column);
      to += <usize>min(4, columns - column);
      x = i32x4.add(x, i32x4.splat(8 * across));
      y = i32x4.sub(y, i32x4.splat(8 * aside));
    }
  }
}
