import { maskRow } from '../arithmetic/random.ts';
import type { MaskKey } from '../arithmetic/random.ts';

/**
 * The kernels in TypeScript, written like their definition. They are the oracle for the tests and
 * the reference for other implementations. The results match those of kernels.ts bit for bit,
 * except for the payload of a NaN.
 */
const SMALLEST_NORMAL = 2 ** -126;
const { fround } = Math;

export interface ReferenceAdamArguments {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly rate: number;
}

/** x rounded to float32, or a zero of the same sign if the result is subnormal. */
export function flush(x: number): number {
  const rounded = fround(x);
  if (!(Math.abs(rounded) < SMALLEST_NORMAL)) return rounded;
  return rounded < 0 || Object.is(rounded, -0) ? -0 : 0;
}

/** into = into + from. */
export function add(into: Float32Array, from: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = flush((into[i] ?? 0) + (from[i] ?? 0));
}

/** into = into + 0. */
export function addZero(into: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = flush((into[i] ?? 0) + 0);
}

/**
 * One step of Adam in place. A sum, product, quotient or square root of float32 values that is
 * computed in float64 and then rounded equals the float32 result.
 */
export function adam(step: ReferenceAdamArguments): void {
  const { weights, gradient, firstMoment, secondMoment } = step;
  const b1 = fround(step.beta1);
  const c1 = fround(1 - step.beta1);
  const b2 = fround(step.beta2);
  const c2 = fround(1 - step.beta2);
  const epsilon = fround(step.epsilon);
  const rate = fround(step.rate);
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i] ?? 0;
    const m = flush(fround(b1 * (firstMoment[i] ?? 0)) + fround(c1 * g));
    const v = flush(fround(b2 * (secondMoment[i] ?? 0)) + fround(c2 * fround(g * g)));
    firstMoment[i] = m;
    secondMoment[i] = v;
    const change = fround(fround(rate * m) / fround(fround(Math.sqrt(v)) + epsilon));
    weights[i] = flush((weights[i] ?? 0) - change);
  }
}

export interface ReferenceSgdArguments {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly rate: number;
}

export interface ReferenceSgdMomentumArguments extends ReferenceSgdArguments {
  readonly velocity: Float32Array;
  readonly momentum: number;
  readonly nesterov: boolean;
}

/** One step of SGD without momentum, in place. */
export function sgd({ weights, gradient, rate }: ReferenceSgdArguments): void {
  const r = fround(rate);
  for (let i = 0; i < weights.length; i++)
    weights[i] = flush((weights[i] ?? 0) - fround(r * (gradient[i] ?? 0)));
}

/** One step of SGD with momentum, in place. */
export function sgdMomentum(step: ReferenceSgdMomentumArguments): void {
  const { weights, gradient, velocity, nesterov } = step;
  const momentum = fround(step.momentum);
  const r = fround(step.rate);
  for (let i = 0; i < weights.length; i++) {
    const change = fround(r * (gradient[i] ?? 0));
    const v = flush(fround(momentum * (velocity[i] ?? 0)) - change);
    velocity[i] = v;
    const move = nesterov ? fround(fround(momentum * v) - change) : v;
    weights[i] = flush((weights[i] ?? 0) + move);
  }
}

/** into = factor * into. */
export function scale(into: Float32Array, factor: number): void {
  const f = fround(factor);
  for (let i = 0; i < into.length; i++) into[i] = flush(f * (into[i] ?? 0));
}

/** weights = weights - factor * weights. */
export function decay(weights: Float32Array, factor: number): void {
  const f = fround(factor);
  for (let i = 0; i < weights.length; i++) {
    const w = weights[i] ?? 0;
    weights[i] = flush(w - fround(f * w));
  }
}

/** The sum of squares in float64, in eight lanes that are then added in pairs. */
export function sumOfSquares(values: Float32Array): number {
  const lanes: [number, number, number, number, number, number, number, number] = [
    0, 0, 0, 0, 0, 0, 0, 0,
  ];
  for (const [i, x] of values.entries()) lanes[i & 7] = (lanes[i & 7] ?? 0) + x * x;
  const [a, b, c, d, e, f, g, h] = lanes;
  return a + b + (c + d) + (e + f + (g + h));
}

/** Whether all values are finite, and the XXH64 of their bytes. */
export function check(values: Float32Array): { finite: boolean; checksum: bigint } {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return { finite: values.every((value) => Number.isFinite(value)), checksum: xxh64(bytes) };
}

/** The masks of `rows` rows, starting at `position` in the global batch, row by row. */
export function mask(rows: number, units: number, rate: number, key: MaskKey): Float32Array {
  const out = new Float32Array(rows * units);
  for (let row = 0; row < rows; row++) {
    const rowKey = { ...key, position: key.position + row };
    maskRow(out.subarray(row * units, (row + 1) * units), rowKey, rate);
  }
  return out;
}

/** float32(byte / 255) of each byte. */
export function pixels(bytes: Uint8Array): Float32Array {
  return Float32Array.from(bytes, (byte) => byte / 255);
}

const PRIME1 = 0x9e3779b185ebca87n;
const PRIME2 = 0xc2b2ae3d27d4eb4fn;
const PRIME3 = 0x165667b19e3779f9n;
const PRIME4 = 0x85ebca77c2b2ae63n;
const PRIME5 = 0x27d4eb2f165667c5n;

/** XXH64 with seed 0: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
export function xxh64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let hash = PRIME5;
  if (bytes.length >= 32) {
    let accumulators = [PRIME1 + PRIME2, PRIME2, 0n, -PRIME1];
    for (; at + 32 <= bytes.length; at += 32) {
      const stripe = at;
      accumulators = accumulators.map((accumulator, i) =>
        round(accumulator, view.getBigUint64(stripe + 8 * i, true)),
      );
    }
    hash = word(
      accumulators.reduce(
        (sum, accumulator, i) => sum + rotate(accumulator, [1n, 7n, 12n, 18n][i] ?? 0n),
        0n,
      ),
    );
    for (const accumulator of accumulators)
      hash = word((hash ^ round(0n, accumulator)) * PRIME1 + PRIME4);
  }
  hash = word(hash + BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = word(rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * PRIME1 + PRIME4);
  }
  if (at + 4 <= bytes.length) {
    hash = word(
      rotate(hash ^ word(BigInt(view.getUint32(at, true)) * PRIME1), 23n) * PRIME2 + PRIME3,
    );
    at += 4;
  }
  for (; at < bytes.length; at++) {
    hash = word(rotate(hash ^ word(BigInt(view.getUint8(at)) * PRIME5), 11n) * PRIME1);
  }
  hash = word((hash ^ (hash >> 33n)) * PRIME2);
  hash = word((hash ^ (hash >> 29n)) * PRIME3);
  return hash ^ (hash >> 32n);
}

function round(accumulator: bigint, input: bigint): bigint {
  return word(rotate(accumulator + input * PRIME2, 31n) * PRIME1);
}

function rotate(value: bigint, bits: bigint): bigint {
  return word(word(value) << bits) | (word(value) >> (64n - bits));
}

function word(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}
