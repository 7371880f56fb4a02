import { flush } from './flush';

/** into = flush(factor * into), `count` floats. */
export function scale(into: usize, count: u32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = into + ((<usize>count) << 2);
  while (into + 32 <= end) {
    v128.store(into, flush(f32x4.mul(f, v128.load(into))));
    v128.store(into, flush(f32x4.mul(f, v128.load(into, 16))), 16);
    into += 32;
  }
  while (into < end) {
    v128.store32_lane(into, flush(f32x4.mul(f, v128.load32_zero(into))), 0);
    into += 4;
  }
}

/** to = flush(from - factor * from), `count` floats; `to` may be `from`. */
export function decay(from: usize, to: usize, count: u32, factor: f32): void {
  const f = f32x4.splat(factor);
  const end = to + ((<usize>count) << 2);
  while (to + 32 <= end) {
    v128.store(to, decayed(v128.load(from), f));
    v128.store(to, decayed(v128.load(from, 16), f), 16);
    from += 32;
    to += 32;
  }
  while (to < end) {
    v128.store32_lane(to, decayed(v128.load32_zero(from), f), 0);
    from += 4;
    to += 4;
  }
}

function decayed(w: v128, factor: v128): v128 {
  return flush(f32x4.sub(w, f32x4.mul(factor, w)));
}
