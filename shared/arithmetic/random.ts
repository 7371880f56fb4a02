import { denseLayers, parameterCount } from './model-shape.ts';
import type { ModelShape } from './model-shape.ts';
import { philox4x32 } from './philox.ts';

/**
 * Every random number of a run. The key is the seed (low word, high word); the counter's words are
 *
 *     block | position in the global batch | step or epoch | purpose << 16 | layer
 *
 * and what a purpose does not use is 0. Words of a stream are taken in order: word i is word i & 3
 * of block i >> 2.
 */
export const PURPOSE_ORDER = 1;
export const PURPOSE_MASK = 2;
export const PURPOSE_WEIGHTS = 3;

const WORDS = 2 ** 32;

export interface MaskKey {
  readonly seed: number;
  readonly step: number;
  /** Position of the first row in the step's global batch. */
  readonly position: number;
  /** Index of the hidden layer, from 0. */
  readonly layer: number;
}

/** A seed, 0 .. 2^53 - 1, as the two words of Philox' key. */
export function seedWords(seed: number): { low: number; high: number } {
  return { low: seed >>> 0, high: Math.floor(seed / WORDS) };
}

/** The counter's last word. */
export function purposeWord(purpose: number, layer: number): number {
  return (purpose << 16) | layer;
}

/**
 * The permutation of 0 .. samples - 1 in which an epoch (from 1) visits the samples: Fisher-Yates
 * from the last index down, each index i exchanged with a draw from 0 .. i.
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
 * The parameters before step 1, in the layout of shared/arithmetic/model-shape.ts: kernels uniform
 * in [-limit, limit) with limit = sqrt(6 / (inputs + units)) (Glorot and Bengio 2010, the default
 * of Keras), biases 0. Weight i of a kernel is float32((2u - 1) * limit) with u = (word i >>> 8) *
 * 2^-24, computed in float64.
 */
export function initialWeights(seed: number, model: ModelShape): Float32Array {
  const weights = new Float32Array(parameterCount(model));
  denseLayers(model).forEach(({ inputs, units, kernelOffset, biasOffset }, layer) => {
    const limit = Math.sqrt(6 / (inputs + units));
    const nextWord = wordStream(seed, 0, purposeWord(PURPOSE_WEIGHTS, layer));
    for (let i = kernelOffset; i < biasOffset; i++) {
      weights[i] = (2 * ((nextWord() >>> 8) * 2 ** -24) - 1) * limit;
    }
  });
  return weights;
}

/** Words below it drop the unit: floor(rate * 2^32), rate in [0, 1). */
export function dropThreshold(rate: number): number {
  return Math.floor(rate * WORDS);
}

/** What a unit that stays is multiplied by, so that its mean stays too: float32(1 / (1 - rate)). */
export function keepScale(rate: number): number {
  return Math.fround(1 / (1 - rate));
}

/**
 * The dropout mask of one row: for unit u the word u & 3 of block u >> 2 at the row's position
 * decides. It depends on nothing else, so not on who computes the row or which rows are computed
 * with it.
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

/** The words of one stream, block by block from block 0, position 0. */
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
 * A draw from 0 .. n - 1, each as likely: words of the incomplete last multiple of n are rejected.
 */
function draw(nextWord: () => number, n: number): number {
  const limit = Math.floor(WORDS / n) * n;
  for (;;) {
    const word = nextWord();
    // The remainder by a division in float64, exact for 32-bit words and several times faster than
    // `%`.
    if (word < limit) return word - Math.floor(word / n) * n;
  }
}
