/**
 * Flushes every float with a magnitude below 2^-126 to a zero of its sign; NaN and infinities are
 * unchanged. TensorFlow's graphs flush such floats, but WebAssembly does not. The comparison is on
 * integers, because a float comparison may stall on a subnormal operand.
 */
export function flush(x: v128): v128 {
  const tiny = i32x4.eq(v128.and(x, i32x4.splat(0x7f800000)), i32x4.splat(0));
  return v128.andnot(x, i32x4.shr_u(tiny, 1));
}
