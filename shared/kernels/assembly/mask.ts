// Philox4x32-10 (Salmon et al. 2011, Random123), four blocks in parallel: vector i holds word i of
// four counters.
const MULTIPLIER0: u32 = 0xd2511f53;
const MULTIPLIER1: u32 = 0xcd9e8d57;
const WEYL0: u32 = 0x9e3779b9;
const WEYL1: u32 = 0xbb67ae85;

/** Stores four floats, but none at or beyond `end`, the end of the row. */
function storeUntil(at: usize, end: usize, four: v128): void {
  if (at + 16 <= end) {
    v128.store(at, four);
    return;
  }
  if (at < end) v128.store32_lane(at, four, 0);
  if (at + 4 < end) v128.store32_lane(at, four, 1, 4);
  if (at + 8 < end) v128.store32_lane(at, four, 2, 8);
}

/** Writes the masks of 16 units, blocks `block` .. `block + 3`, but nothing at or beyond `end`. */
function sixteen(
  out: usize,
  end: usize,
  block: u32,
  position: u32,
  step: u32,
  purposeAndLayer: u32,
  low: u32,
  high: u32,
  threshold: u32,
  keep: f32,
): void {
  const multiplier0 = i32x4.splat(MULTIPLIER0);
  const multiplier1 = i32x4.splat(MULTIPLIER1);
  let w0 = i32x4.add(i32x4.splat(block), i32x4(0, 1, 2, 3));
  let w1 = i32x4.splat(position);
  let w2 = i32x4.splat(step);
  let w3 = i32x4.splat(purposeAndLayer);
  for (let i = 0; i < 10; i++) {
    const a = i64x2.extmul_low_i32x4_u(w0, multiplier0);
    const b = i64x2.extmul_high_i32x4_u(w0, multiplier0);
    const c = i64x2.extmul_low_i32x4_u(w2, multiplier1);
    const d = i64x2.extmul_high_i32x4_u(w2, multiplier1);
    const high0 = v128.shuffle<i32>(a, b, 1, 3, 5, 7);
    const high1 = v128.shuffle<i32>(c, d, 1, 3, 5, 7);
    w0 = v128.xor(v128.xor(high1, w1), i32x4.splat(low));
    w1 = v128.shuffle<i32>(c, d, 0, 2, 4, 6);
    w2 = v128.xor(v128.xor(high0, w3), i32x4.splat(high));
    w3 = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
    low += WEYL0;
    high += WEYL1;
  }
  // Transposes "word i of four blocks" to "four words of block i", which is the order of the units.
  const x0 = v128.shuffle<i32>(w0, w1, 0, 4, 1, 5);
  const x1 = v128.shuffle<i32>(w2, w3, 0, 4, 1, 5);
  const x2 = v128.shuffle<i32>(w0, w1, 2, 6, 3, 7);
  const x3 = v128.shuffle<i32>(w2, w3, 2, 6, 3, 7);
  const t = i32x4.splat(threshold);
  const k = f32x4.splat(keep);
  storeUntil(out, end, v128.and(i32x4.ge_u(v128.shuffle<i64>(x0, x1, 0, 2), t), k));
  storeUntil(out + 16, end, v128.and(i32x4.ge_u(v128.shuffle<i64>(x0, x1, 1, 3), t), k));
  storeUntil(out + 32, end, v128.and(i32x4.ge_u(v128.shuffle<i64>(x2, x3, 0, 2), t), k));
  storeUntil(out + 48, end, v128.and(i32x4.ge_u(v128.shuffle<i64>(x2, x3, 1, 3), t), k));
}

/**
 * Writes the dropout masks of `rows` rows, starting at `position` in the global batch: `units`
 * floats each, 0 if the unit's random word is below `threshold`, else `keep`.
 */
export function mask(
  out: usize,
  low: u32,
  high: u32,
  step: u32,
  position: u32,
  purposeAndLayer: u32,
  rows: u32,
  units: u32,
  threshold: u32,
  keep: f32,
): void {
  for (let row: u32 = 0; row < rows; row++) {
    const end = out + ((<usize>units) << 2);
    for (let block: u32 = 0; out < end; block += 4) {
      sixteen(out, end, block, position + row, step, purposeAndLayer, low, high, threshold, keep);
      out += 64;
    }
    out = end;
  }
}
