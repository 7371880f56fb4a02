import { createKernels, type Kernels } from '../shared/kernels/kernels.ts';
import type { Configuration } from '../shared/configuration.ts';
import { evaluatedSamples, type Dataset } from '../shared/dataset/dataset.ts';
import { ClusterError } from '../shared/errors.ts';
import type { Tensor } from '../shared/wire/frame.ts';
import { samplesInTrainingFiles, type EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import { collectGarbage } from '../shared/runtime.ts';
import type { EngineIdentity } from '../shared/engine-identity.ts';
import { accepts, parameterCount } from '../shared/arithmetic/model-shape.ts';
import { evaluationRows } from '../shared/arithmetic/model-size.ts';
import { epochOrder, initialWeights } from '../shared/arithmetic/random.ts';
import { planStep, totalSteps } from '../shared/arithmetic/schedule.ts';
import { isNode, isReal } from '../shared/arithmetic/tree.ts';
import { batchBytes, createBatchBuilder, type BatchBuilder, type BatchShape } from './batch.ts';
import type { Engine, EngineShape } from './engines/engine.ts';
import { LoadedEngines, type EngineChoice } from './engines/loaded-engines.ts';
import { createChunks, chunkBytes, type ChunkBuilder } from './chunks.ts';
import { marksSince, type FirstMarks } from './marks.ts';
import { fingerprint, type Probed } from './probe.ts';
import { ResultFrames, type Result, type ResultFrame } from './result-frames.ts';

const SLACK_BYTES = 1024 * 1024;

interface Fence {
  readonly run: string;
  readonly term: number;
  readonly step: number;
}

export type SendResult = (result: Result) => void;

/**
 * Everything that a worker needs to compute for one configuration: kernels, engine, batches and
 * result frames.
 */
export class Computation {
  readonly fingerprint: string;
  /**
   * Why the engine's own sums cannot be used (which makes training slower); undefined if they can.
   */
  readonly disagreement: string | undefined;
  readonly engine: EngineIdentity;
  readonly #configuration: Configuration;
  readonly #kernels: Kernels;
  readonly #engine: Engine;
  readonly #batches: BatchBuilder;
  readonly #chunks: ChunkBuilder;
  readonly #gradients: ResultFrames;
  readonly #predictions: ResultFrames;
  readonly #weights: number;
  readonly #parameters: number;
  readonly #orders = new Map<number, Uint32Array>();

  private constructor(
    configuration: Configuration,
    parts: { kernels: Kernels; batches: BatchBuilder; chunks: ChunkBuilder } & Probed,
  ) {
    this.#configuration = configuration;
    this.#parameters = parameterCount(configuration.model);
    this.#kernels = parts.kernels;
    this.#engine = parts.engine;
    this.#batches = parts.batches;
    this.#chunks = parts.chunks;
    this.#weights = parts.kernels.allocate(4 * this.#parameters);
    this.#gradients = new ResultFrames(parts.kernels, this.#parameters + 1);
    this.#predictions = new ResultFrames(parts.kernels, predictionFloats(configuration));
    this.fingerprint = parts.fingerprint;
    this.disagreement = parts.disagreement;
    this.engine = parts.engine.description;
  }

  /**
   * Builds the engine and all its graphs, unless `engines` has it already, warms them up, and
   * computes the fingerprint.
   */
  static async create(
    configuration: Configuration,
    dataset: Dataset,
    choice: EngineChoice,
    engines = new LoadedEngines(),
  ): Promise<Computation> {
    checkDataset(configuration, dataset);
    const batchShape = batchShapeOf(configuration);
    const loaded = await engines.load(engineShapeOf(configuration), choice);
    const floats = parameterCount(configuration.model) + 1;
    const frames = ResultFrames.bytes(floats) + ResultFrames.bytes(predictionFloats(configuration));
    const kernels = createKernels(
      4 * floats + frames + batchBytes(batchShape) + chunkBytes(configuration.model) + SLACK_BYTES,
    );
    const batches = createBatchBuilder(kernels, batchShape, dataset.train);
    const chunks = createChunks(kernels, configuration.model, {
      test: dataset.test,
      validation: evaluatedSamples(dataset, 'validation', configuration),
    });
    const order = epochOrder(configuration.seed, 1, configuration.trainSamples);
    const probed = fingerprint({
      engine: loaded.engine,
      kernels: loaded.kernels,
      configuration,
      batches,
      chunks,
      order,
      weights: initialWeights(configuration.seed, configuration.model),
    });
    loaded.engine = probed.engine;
    loaded.disagreement ??= probed.disagreement;
    const computation = new Computation(configuration, {
      kernels,
      batches,
      chunks,
      ...probed,
      disagreement: loaded.disagreement,
    });
    computation.#orders.set(1, order);
    computation.prefetch(1, [1]);
    return computation;
  }

  /**
   * Copies the weights of a step or evaluation into the kernels' memory. Throws TIMEOUT if the
   * coordinator has already overwritten them in shared memory, and PROTOCOL if they have the wrong
   * size or were damaged in transit.
   */
  takeWeights(weights: Tensor): void {
    const bytes = 4 * this.#parameters;
    if (weights.byteLength !== bytes)
      throw new ClusterError(
        'PROTOCOL',
        `the coordinator sent ${weights.byteLength} bytes of weights, not ${bytes}`,
      );
    const isWhole = weights.copyTo(this.#kernels.bytes(this.#weights, bytes));
    if (!isWhole || this.#kernels.checksum(this.#weights, bytes) !== weights.checksum) {
      if (weights.isStale())
        throw new ClusterError(
          'TIMEOUT',
          'the coordinator replaced the weights before this suspended or slow worker read them',
        );
      throw new ClusterError(
        'PROTOCOL',
        'the checksum of the weights does not match: they were damaged in transit',
      );
    }
  }

  /**
   * Computes and sends the sums of these subtrees. Returns a promise only if it waits for the
   * socket, so that a step usually stays in one turn of the event loop. With `first`, results have
   * marks.
   */
  gradients(
    fence: Fence,
    nodes: readonly number[],
    send: SendResult,
    first?: FirstMarks,
  ): Promise<void> | undefined {
    const steps = totalSteps(this.#configuration);
    if (fence.step < 1 || fence.step > steps)
      throw new ClusterError(
        'PROTOCOL',
        `the coordinator asked for step ${fence.step}; the run has ${steps} steps`,
      );
    return inTurn(nodes, (node) => {
      if (!isNode(node, this.#configuration.virtualShards))
        throw new ClusterError(
          'PROTOCOL',
          `the coordinator asked for node ${node}, which is not in the tree`,
        );
      const frame = this.#gradients.take();
      return frame instanceof Promise
        ? frame.then((free) => this.#gradient(fence, node, free, send, first))
        : this.#gradient(fence, node, frame, send, first);
    });
  }

  #gradient(
    fence: Fence,
    node: number,
    frame: ResultFrame,
    send: SendResult,
    first: FirstMarks | undefined,
  ): void {
    const started = performance.now();
    const plan = planStep(this.#configuration, fence.step);
    const batch = this.#batches.build(plan, node, this.#order(plan.epoch));
    const marks = marksSince(started, first);
    const correct = this.#engine.partialSum(
      this.#kernels.floats(this.#weights, this.#parameters),
      batch,
      frame.values,
    );
    send(
      frame.seal({
        kind: 'gradient',
        ...fence,
        part: node,
        correct,
        microseconds: microsecondsSince(started),
        ...marks,
      }),
    );
  }

  /**
   * Computes and sends the predictions for these chunks of a set. Yields after each chunk, so that
   * the socket can send the result.
   */
  async predictions(
    fence: Fence,
    set: EvaluatedSet,
    chunks: readonly number[],
    send: SendResult,
    first?: FirstMarks,
  ): Promise<void> {
    collectGarbage();
    for (const chunk of chunks) {
      const frame = await this.#predictions.take();
      const started = performance.now();
      const rows = this.#chunks.build(set, chunk);
      const marks = marksSince(started, first);
      this.#engine.predict(
        this.#kernels.floats(this.#weights, this.#parameters),
        rows.inputs,
        rows.labels,
        frame.values,
      );
      send(
        frame.seal({
          kind: 'predictions',
          ...fence,
          set,
          part: chunk,
          microseconds: microsecondsSince(started),
          ...marks,
        }),
      );
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /**
   * Builds the batches of a later step in advance, for each of these subtrees that has only real
   * shards.
   */
  prefetch(step: number, nodes: readonly number[]): void {
    if (step > totalSteps(this.#configuration)) return;
    const plan = planStep(this.#configuration, step);
    for (const node of nodes) {
      if (isReal(node, plan.virtualShards, plan.realShards))
        this.#batches.build(plan, node, this.#order(plan.epoch));
    }
  }

  /** Number of live tensors in the engine's library. */
  tensorCount(): number {
    return this.#engine.tensorCount();
  }

  #order(epoch: number): Uint32Array {
    const known = this.#orders.get(epoch);
    if (known !== undefined) return known;
    const order = epochOrder(this.#configuration.seed, epoch, this.#configuration.trainSamples);
    for (const other of this.#orders.keys()) if (other !== epoch - 1) this.#orders.delete(other);
    this.#orders.set(epoch, order);
    return order;
  }
}

/**
 * Calls `each` for the items in order, in one turn of the event loop unless a call returns a
 * promise.
 */
function inTurn<T>(
  items: readonly T[],
  each: (item: T) => Promise<void> | void,
  from = 0,
): Promise<void> | undefined {
  for (let i = from; i < items.length; i++) {
    const item = items[i];
    const pending = item === undefined ? undefined : each(item);
    if (pending !== undefined) return pending.then(() => inTurn(items, each, i + 1));
  }
  return undefined;
}

/** Throws DATA if the dataset does not have the shape that the coordinator described. */
function checkDataset(configuration: Configuration, dataset: Dataset): void {
  const { model, testSamples } = configuration;
  const { rows, columns, classNames, train, test } = dataset;
  const found = [train.samples, test.samples, rows, columns, classNames.length];
  const inFiles = samplesInTrainingFiles(configuration);
  const described = [inFiles, testSamples, model.rows, model.columns, model.classes];
  const isAlike = found.every((count, i) => i === 2 || i === 3 || count === described[i]);
  if (isAlike && accepts(model, rows, columns)) return;
  const words = ([a, b, c, d, e]: readonly number[]) =>
    `${a} training and ${b} test samples, ${c} x ${d} pixels, ${e} classes`;
  throw new ClusterError(
    'DATA',
    `the dataset does not fit the run: it has ${words(found)}; the run's description says ` +
      words(described),
  );
}

function batchShapeOf(configuration: Configuration): BatchShape {
  const { model, virtualShards, batchSize, seed, augment } = configuration;
  const rowsPerShard = Math.ceil(batchSize / virtualShards);
  return { model, virtualShards, rowsPerShard, seed, augment };
}

function engineShapeOf({
  model,
  virtualShards,
  batchSize,
  labelSmoothing,
}: Configuration): EngineShape {
  const shardCounts = Array.from(
    { length: Math.log2(virtualShards) + 1 },
    (_, level) => 2 ** level,
  );
  return {
    model,
    rowsPerShard: Math.ceil(batchSize / virtualShards),
    shardCounts,
    evaluationRows: evaluationRows(model),
    labelSmoothing,
  };
}

function predictionFloats({ model }: Configuration): number {
  return evaluationRows(model) * (2 + model.classes);
}

function microsecondsSince(started: number): number {
  return Math.round(1000 * (performance.now() - started));
}
