import { ClusterError } from '../errors.ts';
import { MAX_KERNEL_MEMORY_BYTES } from '../limits.ts';
import type { AugmentBounds } from '../arithmetic/augment.ts';
import {
  dropThreshold,
  keepScale,
  PURPOSE_AUGMENT,
  PURPOSE_MASK,
  purposeWord,
  seedWords,
} from '../arithmetic/random.ts';
import type { AugmentKey, MaskKey } from '../arithmetic/random.ts';
import { instantiate, PAGE_BYTES } from './binary.ts';
import type { KernelExports } from './binary.ts';

export { adamRate } from './adam-rate.ts';
export { kernelDigest } from './binary.ts';
export type { MaskKey } from '../arithmetic/random.ts';

/**
 * The size of a cache line, and the alignment of a frame's body. The first 64 bytes of the memory
 * are never allocated, so that no address is 0.
 */
const ALIGNMENT_BYTES = 64;

/**
 * Addresses of float arrays of `count` values. `from` and `to` may be equal; other overlaps are not
 * allowed.
 */
export interface AdamArguments {
  /** Weights before the step. */
  readonly from: number;
  /** Weights after the step. */
  readonly to: number;
  readonly gradient: number;
  /** Moments, updated in place. */
  readonly firstMoment: number;
  readonly secondMoment: number;
  readonly count: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** The learning rate of the step (`adamRate`). */
  readonly rate: number;
}

/** Addresses of float arrays of `count` values, as in AdamArguments. */
export interface SgdArguments {
  readonly from: number;
  readonly to: number;
  readonly gradient: number;
  readonly count: number;
  readonly rate: number;
}

export interface SgdMomentumArguments extends SgdArguments {
  /** Updated in place. */
  readonly velocity: number;
  readonly momentum: number;
  readonly nesterov: boolean;
}

export interface MaskArguments extends MaskKey {
  readonly rows: number;
  readonly units: number;
  /** The fraction of units to drop, in [0, 1). */
  readonly rate: number;
}

export interface AugmentArguments extends AugmentKey {
  readonly rows: number;
  readonly columns: number;
  readonly bounds: AugmentBounds;
  /**
   * Address of `surroundedBytes` zeroed bytes, which the kernel uses for images of this size only.
   */
  readonly surrounded: number;
}

export interface CheckResult {
  /** Whether no value is NaN or infinite. */
  readonly finite: boolean;
  readonly checksum: bigint;
}

/**
 * The cluster's arithmetic, on one memory of fixed size. `at` is a byte address, a multiple of 4. A
 * count is any number of float32 values; bytes after the last value are not touched. Results of
 * all kernels that write floats have a magnitude of at least 2^-126, or are flushed to a zero of
 * their sign. The payload of a NaN is unspecified.
 */
export interface Kernels {
  readonly memory: { readonly buffer: ArrayBuffer };
  /**
   * Allocates `bytes` zeroed bytes and returns their address, a multiple of 64. Memory is never
   * freed. Throws LIMIT if the memory is exhausted.
   */
  allocate(bytes: number): number;
  /** A view of `count` floats at `at`. */
  floats(at: number, count: number): Float32Array<ArrayBuffer>;
  /** A view of `length` bytes at `at`. */
  bytes(at: number, length: number): Uint8Array<ArrayBuffer>;
  /** into = into + from. */
  add(into: number, from: number, count: number): void;
  /** into = into + 0, which adds the +0 of a subtree without rows: -0 becomes +0. */
  addZero(into: number, count: number): void;
  /**
   * One step of Adam, in float32 and in this order: m = b1*m + c1*g; v = b2*v + c2*(g*g); w = w -
   * (rate*m) / (sqrt(v) + epsilon), with the new m and v. c1 and c2 are float32(1 - beta),
   * subtracted in float64. Returns the XXH64 of the weights at `to`, computed in the same pass.
   */
  adam(step: AdamArguments): bigint;
  /** One step of SGD without momentum: w = w - rate*g. Returns the XXH64 of the new weights. */
  sgd(step: SgdArguments): bigint;
  /**
   * One step of SGD with momentum: v = momentum*v - rate*g; then w = w + v, or, with Nesterov's
   * momentum, w = w + (momentum*v - rate*g) with the new v. Returns the XXH64 of the new weights.
   */
  sgdMomentum(step: SgdMomentumArguments): bigint;
  /** into = factor*into, with the factor rounded to float32. */
  scale(into: number, count: number, factor: number): void;
  /** to = from - factor*from, with the factor rounded to float32. `to` may be `from`. */
  decay(from: number, to: number, count: number, factor: number): void;
  /**
   * The sum of squares in float64: square i is added to lane i mod 8 in the order of i; the result
   * is ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) of the lanes.
   */
  sumOfSquares(at: number, count: number): number;
  /** Tests whether `count` floats are finite and computes their XXH64, in one pass. */
  check(at: number, count: number): CheckResult;
  /** The XXH64 of `byteLength` bytes, with seed 0. */
  checksum(at: number, byteLength: number): bigint;
  /**
   * Writes `rows` x `units` floats, the dropout masks of shared/arithmetic/random.ts: each value is
   * 0 or float32(1/(1-rate)).
   */
  mask(out: number, mask: MaskArguments): void;
  /** Writes `count` floats, float32(byte / 255) for each of the bytes at `from`. */
  pixels(out: number, from: number, count: number): void;
  /**
   * Shifts, rotates and zooms the image at `at` in place, one byte per pixel, by amounts that are
   * drawn for the key (shared/kernels/reference-augment.ts).
   */
  augment(at: number, augment: AugmentArguments): void;
}

/** The memory that `augment` needs for an image with its border, in bytes. */
export function surroundedBytes(rows: number, columns: number): number {
  return (rows + 4) * (columns + 2) + 2;
}

/**
 * Creates kernels with a memory of `bytes` bytes; every `allocate` rounds its length up to a
 * multiple of 64. The memory never grows, so views and addresses stay valid. Throws LIMIT above
 * MAX_KERNEL_MEMORY_BYTES.
 */
export function createKernels(bytes: number): Kernels {
  const pages = Math.ceil((ALIGNMENT_BYTES + bytes) / PAGE_BYTES);
  if (!(bytes >= 0 && pages * PAGE_BYTES <= MAX_KERNEL_MEMORY_BYTES)) {
    throw new ClusterError(
      'LIMIT',
      `the weights and gradients need ${bytes} bytes, more than ${MAX_KERNEL_MEMORY_BYTES}`,
      {
        fix: 'use a smaller model or fewer virtual shards',
      },
    );
  }
  const { memory, exports } = instantiate(pages);
  return new WasmKernels(memory, exports);
}

class WasmKernels implements Kernels {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly #exports: KernelExports;
  #next = ALIGNMENT_BYTES;

  constructor(memory: { readonly buffer: ArrayBuffer }, exports: KernelExports) {
    this.memory = memory;
    this.#exports = exports;
  }

  allocate(bytes: number): number {
    const at = this.#next;
    const end = at + Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
    const size = this.memory.buffer.byteLength;
    if (!(bytes >= 0 && end <= size)) {
      throw new ClusterError(
        'LIMIT',
        `the kernels need ${bytes} bytes, but only ${size - at} bytes of their memory are free`,
        {
          fix: 'use a smaller model, fewer virtual shards or fewer workers',
        },
      );
    }
    this.#next = end;
    return at;
  }

  floats(at: number, count: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.memory.buffer, at, count);
  }

  bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  add(into: number, from: number, count: number): void {
    this.#inside(into, 4 * count);
    this.#inside(from, 4 * count);
    this.#exports.add(into, from, count);
  }

  addZero(into: number, count: number): void {
    this.#inside(into, 4 * count);
    this.#exports.addZero(into, count);
  }

  adam(step: AdamArguments): bigint {
    const { from, to, gradient, firstMoment, secondMoment, count, beta1, beta2, epsilon, rate } =
      step;
    for (const at of [from, to, gradient, firstMoment, secondMoment]) this.#inside(at, 4 * count);
    const c1 = 1 - beta1;
    const c2 = 1 - beta2;
    // WebAssembly rounds the float64 arguments to float32.
    return BigInt.asUintN(
      64,
      this.#exports.adam(
        from,
        to,
        gradient,
        firstMoment,
        secondMoment,
        count,
        beta1,
        c1,
        beta2,
        c2,
        epsilon,
        rate,
      ),
    );
  }

  sgd({ from, to, gradient, count, rate }: SgdArguments): bigint {
    for (const at of [from, to, gradient]) this.#inside(at, 4 * count);
    return BigInt.asUintN(64, this.#exports.sgd(from, to, gradient, count, rate));
  }

  sgdMomentum(step: SgdMomentumArguments): bigint {
    const { from, to, gradient, velocity, count, momentum, rate, nesterov } = step;
    for (const at of [from, to, gradient, velocity]) this.#inside(at, 4 * count);
    return BigInt.asUintN(
      64,
      this.#exports.sgdMomentum(
        from,
        to,
        gradient,
        velocity,
        count,
        momentum,
        rate,
        nesterov ? 1 : 0,
      ),
    );
  }

  scale(into: number, count: number, factor: number): void {
    this.#inside(into, 4 * count);
    this.#exports.scale(into, count, factor);
  }

  decay(from: number, to: number, count: number, factor: number): void {
    this.#inside(from, 4 * count);
    this.#inside(to, 4 * count);
    this.#exports.decay(from, to, count, factor);
  }

  sumOfSquares(at: number, count: number): number {
    this.#inside(at, 4 * count);
    return this.#exports.sumOfSquares(at, count);
  }

  check(at: number, count: number): CheckResult {
    this.#inside(at, 4 * count);
    const checksum = BigInt.asUintN(64, this.#exports.check(at, count));
    return { finite: this.#exports.lastFinite() !== 0, checksum };
  }

  checksum(at: number, byteLength: number): bigint {
    this.#inside(at, byteLength);
    return BigInt.asUintN(64, this.#exports.checksum(at, byteLength));
  }

  mask(out: number, mask: MaskArguments): void {
    const { step, position, rows, units, rate } = mask;
    this.#inside(out, 4 * rows * units);
    const { low, high } = seedWords(mask.seed);
    const last = purposeWord(PURPOSE_MASK, mask.layer);
    const threshold = dropThreshold(rate);
    this.#exports.mask(
      out,
      low,
      high,
      step,
      position,
      last,
      rows,
      units,
      threshold,
      keepScale(rate),
    );
  }

  pixels(out: number, from: number, count: number): void {
    this.#inside(out, 4 * count);
    this.#inside(from, count);
    this.#exports.pixels(out, from, count);
  }

  augment(at: number, augment: AugmentArguments): void {
    const { rows, columns, surrounded, epoch, sample, bounds } = augment;
    this.#inside(at, rows * columns);
    this.#inside(surrounded, surroundedBytes(rows, columns));
    const { low, high } = seedWords(augment.seed);
    this.#exports.augment(
      at,
      at,
      surrounded,
      rows,
      columns,
      low,
      high,
      epoch,
      sample,
      purposeWord(PURPOSE_AUGMENT, 0),
      bounds.shift,
      bounds.turn,
      bounds.zoom,
    );
  }

  /**
   * WebAssembly traps only beyond the end of the memory; a wrong address within it would silently
   * overwrite data.
   */
  #inside(at: number, bytes: number): void {
    if (at >= ALIGNMENT_BYTES && bytes >= 0 && at + bytes <= this.#next) return;
    throw new Error(`invariant broken: ${bytes} bytes at ${at} were not allocated`);
  }
}
