/**
 * The sum of the squares of `count` floats, in float64. Square i is added to lane i mod 8, in the
 * order of i; then the lanes are added in pairs. A square of a float32 is exact in float64. Eight
 * lanes hide the latency of the additions.
 */
export function sumOfSquares(at: usize, count: u32): f64 {
  let lanes01 = f64x2.splat(0);
  let lanes23 = f64x2.splat(0);
  let lanes45 = f64x2.splat(0);
  let lanes67 = f64x2.splat(0);
  const end = at + ((<usize>count) << 2);
  while (at + 32 <= end) {
    const a = v128.load(at);
    const b = v128.load(at, 16);
    lanes01 = addSquares(lanes01, a);
    lanes23 = addSquares(lanes23, upper(a));
    lanes45 = addSquares(lanes45, b);
    lanes67 = addSquares(lanes67, upper(b));
    at += 32;
  }
  const rest = end - at;
  // Each lane is at least +0, so an added +0 changes nothing.
  let a = i32x4.splat(0);
  let b = a;
  if (rest > 0) a = v128.load32_lane(at, a, 0);
  if (rest > 4) a = v128.load32_lane(at, a, 1, 4);
  if (rest > 8) a = v128.load32_lane(at, a, 2, 8);
  if (rest > 12) a = v128.load32_lane(at, a, 3, 12);
  if (rest > 16) b = v128.load32_lane(at, b, 0, 16);
  if (rest > 20) b = v128.load32_lane(at, b, 1, 20);
  if (rest > 24) b = v128.load32_lane(at, b, 2, 24);
  lanes01 = addSquares(lanes01, a);
  lanes23 = addSquares(lanes23, upper(a));
  lanes45 = addSquares(lanes45, b);
  lanes67 = addSquares(lanes67, upper(b));
  return pair(lanes01) + pair(lanes23) + (pair(lanes45) + pair(lanes67));
}

/** Adds the squares of x's two lower floats. */
function addSquares(sums: v128, x: v128): v128 {
  const wide = f64x2.promote_low_f32x4(x);
  return f64x2.add(sums, f64x2.mul(wide, wide));
}

/** x with its two upper floats in the place of the lower ones. */
function upper(x: v128): v128 {
  return i64x2.shuffle(x, x, 1, 1);
}

function pair(lanes: v128): f64 {
  return f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
}
