import { flush } from './flush';
import { finish, round, START1, START2, START3, START4, STRIPE_BYTES } from './xxh64';

/** m = b1 * m + c1 * g, flushed. */
function nextFirst(m: v128, g: v128, b1: v128, c1: v128): v128 {
  return flush(f32x4.add(f32x4.mul(b1, m), f32x4.mul(c1, g)));
}

/** v = b2 * v + c2 * (g * g), flushed. */
function nextSecond(v: v128, g: v128, b2: v128, c2: v128): v128 {
  return flush(f32x4.add(f32x4.mul(b2, v), f32x4.mul(c2, f32x4.mul(g, g))));
}

/** w = w - (rate * m) / (sqrt(v) + epsilon), flushed; m and v are the new moments. */
function nextWeights(w: v128, m: v128, v: v128, rate: v128, epsilon: v128): v128 {
  return flush(f32x4.sub(w, f32x4.div(f32x4.mul(rate, m), f32x4.add(f32x4.sqrt(v), epsilon))));
}

/**
 * One step of Adam on `count` floats: reads the weights at `from`, writes them to `to` (the same
 * address, or not overlapping), and updates the moments in place. Returns the XXH64 of the new
 * weights. The hash runs in the integer units while the SIMD divider, the bottleneck, is busy.
 */
export function adam(
  from: usize,
  to: usize,
  gradient: usize,
  first: usize,
  second: usize,
  count: u32,
  beta1: f32,
  complement1: f32,
  beta2: f32,
  complement2: f32,
  epsilon: f32,
  rate: f32,
): u64 {
  const b1 = f32x4.splat(beta1);
  const c1 = f32x4.splat(complement1);
  const b2 = f32x4.splat(beta2);
  const c2 = f32x4.splat(complement2);
  const e = f32x4.splat(epsilon);
  const r = f32x4.splat(rate);
  let a1 = START1;
  let a2 = START2;
  let a3 = START3;
  let a4 = START4;
  const length = (<usize>count) << 2;
  const end = to + length;
  while (to + STRIPE_BYTES <= end) {
    const g0 = v128.load(gradient);
    const g1 = v128.load(gradient, 16);
    const m0 = nextFirst(v128.load(first), g0, b1, c1);
    const m1 = nextFirst(v128.load(first, 16), g1, b1, c1);
    const v0 = nextSecond(v128.load(second), g0, b2, c2);
    const v1 = nextSecond(v128.load(second, 16), g1, b2, c2);
    const w0 = nextWeights(v128.load(from), m0, v0, r, e);
    const w1 = nextWeights(v128.load(from, 16), m1, v1, r, e);
    v128.store(first, m0);
    v128.store(first, m1, 16);
    v128.store(second, v0);
    v128.store(second, v1, 16);
    v128.store(to, w0);
    v128.store(to, w1, 16);
    a1 = round(a1, i64x2.extract_lane(w0, 0));
    a2 = round(a2, i64x2.extract_lane(w0, 1));
    a3 = round(a3, i64x2.extract_lane(w1, 0));
    a4 = round(a4, i64x2.extract_lane(w1, 1));
    from += STRIPE_BYTES;
    to += STRIPE_BYTES;
    gradient += STRIPE_BYTES;
    first += STRIPE_BYTES;
    second += STRIPE_BYTES;
  }
  const tail = to;
  while (to < end) {
    const g = v128.load32_zero(gradient);
    const m = nextFirst(v128.load32_zero(first), g, b1, c1);
    const v = nextSecond(v128.load32_zero(second), g, b2, c2);
    const w = nextWeights(v128.load32_zero(from), m, v, r, e);
    v128.store32_lane(first, m, 0);
    v128.store32_lane(second, v, 0);
    v128.store32_lane(to, w, 0);
    from += 4;
    to += 4;
    gradient += 4;
    first += 4;
    second += 4;
  }
  return finish(a1, a2, a3, a4, length, tail);
}
