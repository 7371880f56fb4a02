import { flush } from './flush';

/** into = flush(into + from), `count` floats. */
export function add(into: usize, from: usize, count: u32): void {
  const end = into + ((<usize>count) << 2);
  // Four vectors per iteration: with only three memory operations per vector, the loop's overhead
  // would be noticeable.
  while (into + 64 <= end) {
    const a = flush(f32x4.add(v128.load(into), v128.load(from)));
    const b = flush(f32x4.add(v128.load(into, 16), v128.load(from, 16)));
    const c = flush(f32x4.add(v128.load(into, 32), v128.load(from, 32)));
    const d = flush(f32x4.add(v128.load(into, 48), v128.load(from, 48)));
    v128.store(into, a);
    v128.store(into, b, 16);
    v128.store(into, c, 32);
    v128.store(into, d, 48);
    into += 64;
    from += 64;
  }
  while (into < end) {
    v128.store32_lane(into, flush(f32x4.add(v128.load32_zero(into), v128.load32_zero(from))), 0);
    into += 4;
    from += 4;
  }
}

/**
 * into = flush(into + 0), `count` floats, which adds the +0 that a shard without rows contributes
 * (-0 becomes +0).
 */
export function addZero(into: usize, count: u32): void {
  const end = into + ((<usize>count) << 2);
  const zero = f32x4.splat(0);
  while (into + 16 <= end) {
    v128.store(into, flush(f32x4.add(v128.load(into), zero)));
    into += 16;
  }
  while (into < end) {
    v128.store32_lane(into, flush(f32x4.add(v128.load32_zero(into), zero)), 0);
    into += 4;
  }
}
