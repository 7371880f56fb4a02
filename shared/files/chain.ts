import { hash } from 'node:crypto';
import { canonicalRecipe, type Configuration } from '../configuration.ts';
import { ARITHMETIC } from '../arithmetic/version.ts';

/**
 * A run's chain: one SHA-256 per step, over that step's results. Two runs with the same last link
 * had the same loss, number of correct predictions and weights at every step.
 *
 *     link 0 = SHA-256(UTF-8 of "arithmetic 2\n" and the canonical recipe)
 *     link k = SHA-256(link k-1 (32 bytes) | u32 step | u32 samples | float32 loss | u32 correct
 *                      | u64 checksum of the weights)
 *
 * With early stopping, an evaluation that counts adds a link after that of its step:
 *
 *     SHA-256(previous link (32 bytes) | u32 step | u32 samples | u32 correct | float64 loss)
 *
 * Little-endian. The checksum is the XXH64 in the frame that carries the weights after the step.
 */
export interface ChainedStep {
  readonly step: number;
  readonly samples: number;
  /** Mean loss of the batch, a float32. */
  readonly loss: number;
  readonly correct: number;
  /** XXH64 of the weights after the step. */
  readonly weights: bigint;
}

/** An evaluation that decides when a run stops. */
export interface ChainedEvaluation {
  readonly step: number;
  readonly samples: number;
  readonly correct: number;
  /** Mean loss of the set, a float64. */
  readonly loss: number;
}

const LINK_BYTES = 32;

/**
 * Link 0, in hexadecimal. The run's length is not part of it, so an extended run continues its
 * chain.
 */
export function firstLink(configuration: Configuration): string {
  return hash('sha256', `arithmetic ${ARITHMETIC}\n${canonicalRecipe(configuration)}`, 'hex');
}

export class Chain {
  #link: string;
  readonly #record = Buffer.alloc(LINK_BYTES + 24);

  /** Continues from `link`: `firstLink`, or the link of the last step. */
  constructor(link: string) {
    this.#link = link;
  }

  /** The last link, 64 hexadecimal digits. */
  get link(): string {
    return this.#link;
  }

  /** Adds a step and returns its link, in about 2 us. */
  add({ step, samples, loss, correct, weights }: ChainedStep): string {
    const record = this.#record;
    record.write(this.#link, 0, 'hex');
    record.writeUInt32LE(step, LINK_BYTES);
    record.writeUInt32LE(samples, LINK_BYTES + 4);
    record.writeFloatLE(loss, LINK_BYTES + 8);
    record.writeUInt32LE(correct, LINK_BYTES + 12);
    record.writeBigUInt64LE(weights, LINK_BYTES + 16);
    this.#link = hash('sha256', record, 'hex');
    return this.#link;
  }

  /** Adds an evaluation that counts, and returns its link. */
  addEvaluation({ step, samples, correct, loss }: ChainedEvaluation): string {
    const record = Buffer.alloc(LINK_BYTES + 20);
    record.write(this.#link, 0, 'hex');
    record.writeUInt32LE(step, LINK_BYTES);
    record.writeUInt32LE(samples, LINK_BYTES + 4);
    record.writeUInt32LE(correct, LINK_BYTES + 8);
    record.writeDoubleLE(loss, LINK_BYTES + 12);
    this.#link = hash('sha256', record, 'hex');
    return this.#link;
  }
}
