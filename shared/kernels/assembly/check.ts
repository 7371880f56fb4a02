import { finish, round, START1, START2, START3, START4, STRIPE_BYTES } from './xxh64';

// A WebAssembly function returns one value, and returning two in an array would need an allocation.
// The caller therefore fetches the second value with a separate call.
let finite: bool = true;

/** Whether all floats in the last `check` were finite. */
export function lastFinite(): bool {
  return finite;
}

/** The XXH64 of `count` floats, computed in the same pass as the result of `lastFinite`. */
export function check(at: usize, count: u32): u64 {
  const length = (<usize>count) << 2;
  const end = at + length;
  let a = START1;
  let b = START2;
  let c = START3;
  let d = START4;
  // As an integer without its sign bit, a float that is not finite is at least 0x7f800000. Doubled,
  // it is at least 0xff000000.
  let largest = i32x4.splat(0);
  while (at + STRIPE_BYTES <= end) {
    const low = v128.load(at);
    const high = v128.load(at, 16);
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
    largest = i32x4.max_u(largest, i32x4.max_u(i32x4.shl(low, 1), i32x4.shl(high, 1)));
    at += STRIPE_BYTES;
  }
  for (let rest = at; rest < end; rest += 4) {
    largest = i32x4.max_u(largest, i32x4.shl(v128.load32_zero(rest), 1));
  }
  finite = !v128.any_true(i32x4.ge_u(largest, i32x4.splat(0xff000000)));
  return finish(a, b, c, d, length, at);
}
