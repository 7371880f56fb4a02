import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createKernels } from '../shared/kernels/kernels.ts';
import type { Kernels } from '../shared/kernels/kernels.ts';
import { ClusterError } from '../shared/errors.ts';
import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import type { Configuration } from '../shared/configuration.ts';
import { planStep } from '../shared/arithmetic/schedule.ts';
import type { ScheduleInput, StepPlan } from '../shared/arithmetic/schedule.ts';
import { isReal, ROOT, shardCount } from '../shared/arithmetic/tree.ts';
import type { Node } from '../shared/arithmetic/tree.ts';
import type { BatchBuilder } from './batch.ts';
import type { ChunkBuilder } from './chunks.ts';
import { coarseInputs, coarseWeights } from './coarse-values.ts';
import { summedByShard } from './engines/create.ts';
import { type Batch, type Engine, item } from './engines/engine.ts';

export interface ProbeInput {
  readonly engine: Engine;
  /** Memory for an engine whose shards must be summed one by one (engineBytes). */
  readonly kernels: Kernels;
  readonly configuration: ScheduleInput & Pick<Configuration, 'model' | 'augment'>;
  readonly batches: BatchBuilder;
  readonly chunks: ChunkBuilder;
  /** The sample order of the first epoch. */
  readonly order: Uint32Array;
  /** The run's initial weights. */
  readonly weights: Float32Array;
}

export interface Probed {
  /**
   * The engine to use: the given one, or its variant that computes single shards, which the kernel
   * adds up.
   */
  readonly engine: Engine;
  /** SHA-256 in hexadecimal. Workers with the same fingerprint compute the same bytes. */
  readonly fingerprint: string;
  /** Why the engine's own sums cannot be used; undefined if they can. */
  readonly disagreement: string | undefined;
}

/** Scales gradients so that sums and differences of two of them are often below 2^-126. */
const TINY_SCALE = 2 ** -123;

/** A failed comparison; its message completes "the engine ...". */
class Disagreement extends Error {}

/**
 * Fingerprints an engine on the run's first batch and initial weights: every subtree size, a shard
 * with one real row, gradients near 1e-38, and one evaluation chunk; then a shard and the chunk
 * with coarse weights, non-zero biases and equal maxima in pooling. Everything is computed twice,
 * and each of the engine's sums is compared with the kernel's sum of the shards. All of this is
 * without augmentation; if the run has one, the first batch's augmented images are fingerprinted as
 * well. If the sums differ, the engine is probed again with the kernel's sums. Throws ENGINE if
 * that fails as well.
 */
export function fingerprint(input: ProbeInput): Probed {
  try {
    return {
      engine: input.engine,
      fingerprint: probe(input, input.engine),
      disagreement: undefined,
    };
  } catch (error) {
    if (!(error instanceof Disagreement)) throw error;
    const { model, virtualShards } = input.configuration;
    const engine = summedByShard(input.engine, model, virtualShards, input.kernels);
    if (engine === undefined) throw refusal(input.engine, error);
    try {
      return { engine, fingerprint: probe(input, engine), disagreement: error.message };
    } catch (again) {
      throw again instanceof Disagreement ? refusal(engine, again) : again;
    }
  }
}

function refusal({ description }: Engine, { message }: Disagreement): ClusterError {
  const { kind, library, device } = description;
  return new ClusterError('ENGINE', `the engine "${kind}" (${library} on ${device}) ${message}`, {
    fix: 'use another --engine or --device (`npx mnist-dist doctor` checks them)',
  });
}

function probe(input: ProbeInput, engine: Engine): string {
  const hash = createHash('sha256').update(engine.description.kind);
  const plan = planStep(input.configuration, 1);
  const batchOf = (node: Node) => input.batches.buildPlain(plan, node, input.order);
  const sums = new ProbedSums(engine, input, hash);
  sums.compare('the first batch', batchOf, plan.realShards);
  sums.compare(
    'gradients near 1e-38',
    (node) => scaled(batchOf(node), TINY_SCALE),
    plan.realShards,
  );
  sums.compare('a shard with one real row', () => oneRow(batchOf(plan.virtualShards)), 1);
  probePredictions(input, engine, input.weights, hash);
  const coarse = coarseWeights(input.configuration.model, input.weights);
  sums.setWeights(coarse);
  sums.compare('coarse values', () => coarseInputs(batchOf(plan.virtualShards)), 1);
  probePredictions(input, engine, coarse, hash);
  if (input.configuration.augment !== undefined) hashAugmented(input, plan, hash);
  return hash.digest('hex');
}

/** Hashes the augmented images of the first batch, which do not depend on the engine. */
function hashAugmented({ batches, order }: ProbeInput, plan: StepPlan, hash: Hash): void {
  for (let shard = 0; shard < plan.realShards; shard++) {
    const { inputs } = batches.build(plan, plan.virtualShards + shard, order);
    hash.update(new Uint8Array(inputs.buffer, inputs.byteOffset, inputs.byteLength));
  }
}

/** Computes subtrees with the engine and with the kernel, and hashes the results. */
class ProbedSums {
  readonly #engine: Engine;
  readonly #weights: Float32Array;
  readonly #virtualShards: number;
  readonly #floats: number;
  readonly #kernels: Kernels;
  readonly #levels: readonly number[];
  readonly #direct: number;
  readonly #hash: Hash;

  constructor(engine: Engine, { configuration, weights }: ProbeInput, hash: Hash) {
    this.#engine = engine;
    this.#virtualShards = configuration.virtualShards;
    this.#floats = parameterCount(configuration.model) + 1;
    this.#hash = hash;
    // Separate memory, which is freed when the worker has started.
    const vectors = Math.log2(this.#virtualShards) + 4;
    this.#kernels = createKernels(vectors * (4 * this.#floats + 64));
    this.#weights = this.#kernels.floats(this.#allocate(), this.#floats - 1);
    this.setWeights(weights);
    this.#direct = this.#allocate();
    this.#levels = Array.from({ length: vectors - 2 }, () => this.#allocate());
  }

  setWeights(weights: Float32Array): void {
    this.#weights.set(weights);
  }

  /**
   * Compares the largest subtree on the left edge of the tree that has only real shards, and every
   * smaller subtree on that edge. They cover all subtree sizes that the run uses.
   */
  compare(what: string, batchOf: (node: Node) => Batch, realShards: number): void {
    let top = ROOT;
    while (!isReal(top, this.#virtualShards, realShards)) top *= 2;
    this.#sum(what, batchOf, top, 0, true);
  }

  /**
   * Writes the kernel's sum of the node's shards to level `level`. On the left edge, this sum must
   * equal the engine's.
   */
  #sum(
    what: string,
    batchOf: (node: Node) => Batch,
    node: Node,
    level: number,
    onEdge: boolean,
  ): void {
    const at = item(this.#levels, level);
    if (node >= this.#virtualShards) {
      this.#compute(batchOf(node), at);
    } else {
      this.#sum(what, batchOf, 2 * node, level, onEdge);
      this.#sum(what, batchOf, 2 * node + 1, level + 1, false);
      this.#kernels.add(at, item(this.#levels, level + 1), this.#floats);
    }
    if (!onEdge) return;
    const shards = shardCount(node, this.#virtualShards);
    for (const time of [1, 2]) {
      const correct = this.#compute(batchOf(node), this.#direct);
      if (!this.#bytes(this.#direct).equals(this.#bytes(at))) {
        const unlike = shards === 1 ? 'before' : 'one at a time';
        throw new Disagreement(
          `computes different bytes for ${shards} shards in one call than ${unlike} (${what}, ` +
            `call ${time})`,
        );
      }
      this.#hash.update(`${shards} ${correct}`).update(this.#bytes(this.#direct));
    }
  }

  #compute(batch: Batch, at: number): number {
    return this.#engine.partialSum(this.#weights, batch, this.#kernels.floats(at, this.#floats));
  }

  #allocate(): number {
    return this.#kernels.allocate(4 * this.#floats);
  }

  #bytes(at: number): Buffer {
    return Buffer.from(this.#kernels.memory.buffer, at, 4 * this.#floats);
  }
}

function probePredictions(
  { configuration: { model }, chunks }: ProbeInput,
  engine: Engine,
  weights: Float32Array,
  hash: Hash,
): void {
  const { inputs, labels } = chunks.build('test', 0);
  const out = new Float32Array(labels.length * (2 + model.classes));
  const bytes = Buffer.from(out.buffer);
  engine.predict(weights, inputs, labels, out);
  const first = Buffer.from(bytes);
  engine.predict(weights, inputs, labels, out.fill(0));
  if (!first.equals(bytes))
    throw new Disagreement('predicts different bytes for the same rows the second time');
  hash.update(bytes);
}

/** The batch with a different scale in its real rows. */
function scaled(batch: Batch, scale: number): Batch {
  return { ...batch, scale: batch.scale.map((value) => (value === 0 ? 0 : scale)) };
}

/** The batch with padding in place of all rows but the first. */
function oneRow(batch: Batch): Batch {
  const inputs = batch.inputs.slice().fill(0, batch.inputs.length / batch.labels.length);
  return {
    ...batch,
    inputs,
    labels: batch.labels.slice().fill(-1, 1),
    scale: batch.scale.slice().fill(0, 1),
  };
}
