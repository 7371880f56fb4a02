import { createKernels } from '../../shared/kernels/kernels.ts';
import { loadDataset } from '../../shared/dataset/load-dataset.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { evaluationRows } from '../../shared/arithmetic/model-size.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { epochOrder, initialWeights } from '../../shared/arithmetic/random.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { batchBytes, createBatchBuilder } from '../../worker/batch.ts';
import { createEngine, engineBytes } from '../../worker/engines/create.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import type { Batch, Engine } from '../../worker/engines/engine.ts';
import { microsecondsPerCall } from './timing.ts';
import { MODEL, SEED, shardCounts } from './workload.ts';

/** Warm-up before a cell's first measurement, long enough for the engine's compilers to finish. */
const FIRST_WARM_UP_MILLISECONDS = 300;

/** The engine and the buffers for one batch size. */
interface Prepared {
  readonly engine: Engine;
  readonly weights: Float32Array;
  readonly out: Float32Array;
  /** The first step's batch for a subtree of `shards` shards. */
  readonly batch: (shards: number) => Batch;
}

/** An engine in this process, created the way a worker creates it, once per batch size. */
export class EngineBench {
  readonly #kind: EngineKind;
  readonly #warmed = new Set<string>();
  readonly #prepared = new Map<number, Promise<Prepared>>();

  constructor(kind: EngineKind) {
    this.#kind = kind;
  }

  /** Microseconds per gradient call, excluding the time to build the batch. */
  async measure(request: {
    readonly batchSize: number;
    readonly shards: number;
    readonly milliseconds: number;
  }): Promise<{ microseconds: number; library: string }> {
    const { batchSize, shards, milliseconds } = request;
    const preparing = this.#prepared.get(batchSize) ?? prepare(this.#kind, batchSize);
    this.#prepared.set(batchSize, preparing);
    const { engine, weights, out, batch } = await preparing;
    const rows = batch(shards);
    const call = () => void engine.partialSum(weights, rows, out);
    const cell = `${batchSize}/${shards}`;
    if (!this.#warmed.has(cell)) microsecondsPerCall(call, FIRST_WARM_UP_MILLISECONDS);
    this.#warmed.add(cell);
    return {
      microseconds: microsecondsPerCall(call, milliseconds),
      library: engine.description.library,
    };
  }
}

async function prepare(kind: EngineKind, batchSize: number): Promise<Prepared> {
  const { train } = await loadDataset(undefined);
  const virtualShards = defaultVirtualShards(batchSize);
  const schedule = { trainSamples: train.samples, batchSize, virtualShards, epochs: 1 };
  const plan = planStep(schedule, 1);
  const { rowsPerShard } = plan;
  const batchShape = { model: MODEL, virtualShards, rowsPerShard, seed: SEED };
  const shape = {
    model: MODEL,
    rowsPerShard,
    shardCounts: shardCounts(batchSize),
    evaluationRows: evaluationRows(MODEL),
  };
  const floats = parameterCount(MODEL) + 1;
  const kernels = createKernels(
    batchBytes(batchShape) + engineBytes(shape) + 2 * (4 * floats + 64),
  );
  const vector = (count: number) => kernels.floats(kernels.allocate(4 * count), count);
  const [weights, out] = [vector(floats - 1), vector(floats)];
  weights.set(initialWeights(SEED, MODEL));
  const builder = createBatchBuilder(kernels, batchShape, train);
  const order = epochOrder(SEED, 1, train.samples);
  const engine = await createEngine(kind, shape, kernels, { threads: 1, device: 'auto' });
  // `batch` builds the batch for the leftmost node on the level whose subtrees have `shards`
  // shards.
  return {
    engine,
    weights,
    out,
    batch: (shards) => builder.build(plan, virtualShards / shards, order),
  };
}
