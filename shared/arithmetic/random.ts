import { kernelShape, parameterCount, parametricOperations } from './model-shape.ts';
import type { Convolution, Dense, ModelShape } from './model-shape.ts';
import { philox4x32 } from './philox.ts';

/**
 * Every random number of a run is a word of Philox4x32-10. The key is the seed (low word, high
 * word). The words of the counter are
 *
 *     block | position in the global batch or sample | step or epoch | purpose << 16 | layer
 *
 * Words that a purpose does not use are 0. Word i of a stream is word i & 3 of block i >> 2.
 */
export const PURPOSE_ORDER = 1;
export const PURPOSE_MASK = 2;
export const PURPOSE_WEIGHTS = 3;
export const PURPOSE_AUGMENT = 4;

const WORDS = 2 ** 32;

export interface MaskKey {
  readonly seed: number;
  readonly step: number;
  /** Position of the first row in the global batch of the step. */
  readonly position: number;
  /** Index of the dropout layer, from 0. */
  readonly layer: number;
}

export interface AugmentKey {
  readonly seed: number;
  readonly epoch: number;
  /** Index of the training sample in its dataset. */
  readonly sample: number;
}

/** Splits a seed, 0 .. 2^53 - 1, into the two words of Philox's key. */
export function seedWords(seed: number): { low: number; high: number } {
  return { low: seed >>> 0, high: Math.floor(seed / WORDS) };
}

/** The counter's last word. */
export function purposeWord(purpose: number, layer: number): number {
  return (purpose << 16) | layer;
}

/**
 * The order in which an epoch (counted from 1) visits the samples: a permutation of 0 .. samples -
 * 1. Fisher-Yates from the last index down: element i is swapped with an element drawn from 0 .. i.
 */
export function epochOrder(seed: number, epoch: number, samples: number): Uint32Array {
  const order = new Uint32Array(samples);
  for (let i = 0; i < samples; i++) order[i] = i;
  const nextWord = wordStream(seed, epoch, purposeWord(PURPOSE_ORDER, 0));
  for (let i = samples - 1; i > 0; i--) {
    const j = draw(nextWord, i + 1);
    const exchanged = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = exchanged;
  }
  return order;
}

/**
 * The parameters before step 1, in the layout of model-shape.ts. Kernels are uniform in [-limit,
 * limit) with limit = sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010; Keras's default).
 * Biases are 0. Weight i of a kernel is float32((2u - 1) * limit) with u = (word i >>> 8) * 2^-24,
 * computed in float64.
 */
export function initialWeights(seed: number, model: ModelShape): Float32Array {
  const weights = new Float32Array(parameterCount(model));
  for (const operation of parametricOperations(model)) {
    const { layer, kernelOffset, biasOffset } = operation;
    const limit = Math.sqrt(6 / fans(operation));
    const nextWord = wordStream(seed, 0, purposeWord(PURPOSE_WEIGHTS, layer));
    for (let i = kernelOffset; i < biasOffset; i++) {
      weights[i] = (2 * ((nextWord() >>> 8) * 2 ** -24) - 1) * limit;
    }
  }
  return weights;
}

/**
 * Fan in + fan out, as in Keras: the weights of one output value and those of one input value, both
 * with the whole window.
 */
function fans(operation: Convolution | Dense): number {
  const [out = 1, into = 1, ...window] = kernelShape(operation).toReversed();
  return window.reduce((product, cells) => product * cells, 1) * (into + out);
}

/**
 * The threshold for dropping a unit: words below floor(rate * 2^32) drop it. `rate` is in [0, 1).
 */
export function dropThreshold(rate: number): number {
  return Math.floor(rate * WORDS);
}

/** The factor by which kept units are scaled to preserve the mean, float32(1 / (1 - rate)). */
export function keepScale(rate: number): number {
  return Math.fround(1 / (1 - rate));
}

/**
 * Writes the dropout mask of one row. Word u & 3 of block u >> 2 at the row's position decides
 * whether unit u is dropped. The mask is thus the same on every worker and for every grouping of
 * rows.
 */
export function maskRow(out: Float32Array, key: MaskKey, rate: number): void {
  const { low, high } = seedWords(key.seed);
  const last = purposeWord(PURPOSE_MASK, key.layer);
  const threshold = dropThreshold(rate);
  const keep = keepScale(rate);
  const block = new Uint32Array(4);
  for (let unit = 0; unit < out.length; unit++) {
    if ((unit & 3) === 0) philox4x32(block, unit >> 2, key.position, key.step, last, low, high);
    out[unit] = (block[unit & 3] ?? 0) < threshold ? 0 : keep;
  }
}

/** Returns the words of one stream one by one, starting with block 0 at position 0. */
function wordStream(seed: number, stepOrEpoch: number, last: number): () => number {
  const { low, high } = seedWords(seed);
  const words = new Uint32Array(4);
  let next = 0;
  return () => {
    if ((next & 3) === 0) philox4x32(words, next >>> 2, 0, stepOrEpoch, last, low, high);
    return words[next++ & 3] ?? 0;
  };
}

/**
 * A uniform draw from 0 .. n - 1. Words from the largest multiple of n upwards are rejected, which
 * keeps the draw unbiased.
 */
function draw(nextWord: () => number, n: number): number {
  const limit = Math.floor(WORDS / n) * n;
  for (;;) {
    const word = nextWord();
    // This is word % n, computed by a float64 division: exact for 32-bit words and much faster.
    if (word < limit) return word - Math.floor(word / n) * n;
  }
}
