// Philox4x32-10 (Salmon et al. 2011, Random123). mask.ts computes four blocks at once.
const MULTIPLIER0: u64 = 0xd2511f53;
const MULTIPLIER1: u64 = 0xcd9e8d57;
const WEYL0: u32 = 0x9e3779b9;
const WEYL1: u32 = 0xbb67ae85;

/** The block of four words for counter (c0, c1, c2, c3) and key (k0, k1). */
export function philox(c0: u32, c1: u32, c2: u32, c3: u32, k0: u32, k1: u32): v128 {
  for (let round = 0; round < 10; round++) {
    const a = MULTIPLIER0 * <u64>c0;
    const b = MULTIPLIER1 * <u64>c2;
    c0 = (<u32>(b >> 32)) ^ c1 ^ k0;
    c1 = <u32>b;
    c2 = (<u32>(a >> 32)) ^ c3 ^ k1;
    c3 = <u32>a;
    k0 += WEYL0;
    k1 += WEYL1;
  }
  let block = i32x4.splat(c0);
  block = i32x4.replace_lane(block, 1, c1);
  block = i32x4.replace_lane(block, 2, c2);
  return i32x4.replace_lane(block, 3, c3);
}
