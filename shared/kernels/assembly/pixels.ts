/** Stores float32(byte / 255) of the four bytes in `bytes`. */
function storeFour(at: usize, bytes: v128): void {
  v128.store(at, f32x4.div(f32x4.convert_i32x4_u(bytes), f32x4.splat(255)));
}

/** Writes float32(byte / 255) for `count` bytes at `from`. */
export function pixels(out: usize, from: usize, count: u32): void {
  const end = from + <usize>count;
  while (from + 16 <= end) {
    const bytes = v128.load(from);
    const low = i16x8.extend_low_i8x16_u(bytes);
    const high = i16x8.extend_high_i8x16_u(bytes);
    storeFour(out, i32x4.extend_low_i16x8_u(low));
    storeFour(out + 16, i32x4.extend_high_i16x8_u(low));
    storeFour(out + 32, i32x4.extend_low_i16x8_u(high));
    storeFour(out + 48, i32x4.extend_high_i16x8_u(high));
    from += 16;
    out += 64;
  }
  while (from < end) {
    store<f32>(out, <f32>load<u8>(from) / <f32>255);
    from++;
    out += 4;
  }
}
