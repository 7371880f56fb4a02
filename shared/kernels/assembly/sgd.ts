import { flush } from './flush';
import { finish, round, START1, START2, START3, START4, STRIPE_BYTES } from './xxh64';

/**
 * One step of SGD without momentum on `count` floats: w = w - r * g, flushed. Reads the weights at
 * `from`, writes them to `to` (the same address, or not overlapping), and returns the XXH64 of the
 * new weights.
 */
export function sgd(from: usize, to: usize, gradient: usize, count: u32, rate: f32): u64 {
  const r = f32x4.splat(rate);
  let a1 = START1;
  let a2 = START2;
  let a3 = START3;
  let a4 = START4;
  const length = (<usize>count) << 2;
  const end = to + length;
  while (to + STRIPE_BYTES <= end) {
    const w0 = plain(v128.load(from), v128.load(gradient), r);
    const w1 = plain(v128.load(from, 16), v128.load(gradient, 16), r);
    v128.store(to, w0);
    v128.store(to, w1, 16);
    a1 = round(a1, i64x2.extract_lane(w0, 0));
    a2 = round(a2, i64x2.extract_lane(w0, 1));
    a3 = round(a3, i64x2.extract_lane(w1, 0));
    a4 = round(a4, i64x2.extract_lane(w1, 1));
    from += STRIPE_BYTES;
    to += STRIPE_BYTES;
    gradient += STRIPE_BYTES;
  }
  const tail = to;
  while (to < end) {
    v128.store32_lane(to, plain(v128.load32_zero(from), v128.load32_zero(gradient), r), 0);
    from += 4;
    to += 4;
    gradient += 4;
  }
  return finish(a1, a2, a3, a4, length, tail);
}

function plain(w: v128, g: v128, r: v128): v128 {
  return flush(f32x4.sub(w, f32x4.mul(r, g)));
}

/** momentum * v - rate * g, without the flush. */
function change(v: v128, g: v128, momentum: v128, rate: v128): v128 {
  return f32x4.sub(f32x4.mul(momentum, v), f32x4.mul(rate, g));
}

/**
 * The new weights. With Nesterov's momentum, the change is applied once more, to the new velocity.
 */
function moved(w: v128, v: v128, g: v128, momentum: v128, rate: v128, nesterov: bool): v128 {
  return flush(f32x4.add(w, nesterov ? change(v, g, momentum, rate) : v));
}

/**
 * One step of SGD with momentum: v = momentum * v - rate * g, flushed, in place; then w = w + v,
 * or with Nesterov's momentum w = w + (momentum * v - rate * g) with the new v, flushed. Addresses
 * and result are those of `sgd`.
 */
export function sgdMomentum(
  from: usize,
  to: usize,
  gradient: usize,
  velocity: usize,
  count: u32,
  momentum: f32,
  rate: f32,
  nesterov: bool,
): u64 {
  const mu = f32x4.splat(momentum);
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
    const v0 = flush(change(v128.load(velocity), g0, mu, r));
    const v1 = flush(change(v128.load(velocity, 16), g1, mu, r));
    const w0 = moved(v128.load(from), v0, g0, mu, r, nesterov);
    const w1 = moved(v128.load(from, 16), v1, g1, mu, r, nesterov);
    v128.store(velocity, v0);
    v128.store(velocity, v1, 16);
    v128.store(to, w0);
    v128.store(to, w1, 16);
    a1 = round(a1, i64x2.extract_lane(w0, 0));
    a2 = round(a2, i64x2.extract_lane(w0, 1));
    a3 = round(a3, i64x2.extract_lane(w1, 0));
    a4 = round(a4, i64x2.extract_lane(w1, 1));
    from += STRIPE_BYTES;
    to += STRIPE_BYTES;
    gradient += STRIPE_BYTES;
    velocity += STRIPE_BYTES;
  }
  const tail = to;
  while (to < end) {
    const g = v128.load32_zero(gradient);
    const v = flush(change(v128.load32_zero(velocity), g, mu, r));
    v128.store32_lane(velocity, v, 0);
    v128.store32_lane(to, moved(v128.load32_zero(from), v, g, mu, r, nesterov), 0);
    from += 4;
    to += 4;
    gradient += 4;
    velocity += 4;
  }
  return finish(a1, a2, a3, a4, length, tail);
}
