import { ClusterError, messageOf } from '../../shared/errors.ts';
import {
  dropoutOperations,
  inputCount,
  parameterCount,
} from '../../shared/arithmetic/model-shape.ts';
import { loadTensorFlow } from '../native/load.ts';
import { loadSupport, type Support } from '../native/addons/support.ts';
import { loadGraphAddon, type GraphAddon } from '../native/addons/graphs.ts';
import { tfjsPackage } from '../native/places.ts';
import { describeDevice } from './device.ts';
import {
  argmax,
  type Batch,
  countCorrect,
  type Engine,
  type EngineOptions,
  type EngineShape,
  processorName,
} from './engine.ts';
import { gradientGraph, gradientOffsets } from './gradient-graph.ts';
import { predictionGraph } from './prediction-graph.ts';
import { loadGraph } from './graph-session.ts';
import type { GraphSession } from './graph-session.ts';

/**
 * TensorFlow, with one graph per subtree size and one call per partial sum. All graphs are built
 * and warmed up before this function returns. Throws ENGINE if the library or the device is not
 * available.
 */
export function createTensorFlowEngine(shape: EngineShape, options: EngineOptions): Engine {
  const binding = loadTensorFlow();
  const addon = loadGraphAddon();
  const support = loadSupport();
  const device = describeDevice(options.device, binding.isUsingGpuDevice());
  const gradients = new Map(
    shape.shardCounts.map((shards) => [shards, new Gradient(addon, support, shape, shards)]),
  );
  const predictions = new Predictions(addon, support, shape);
  return {
    description: {
      kind: 'tensorflow',
      library: `TensorFlow ${binding.TF_Version} (tfjs-node-gpu ${tfjsPackage().version})`,
      device,
      processor: processorName(),
      threads: options.threads,
    },
    partialSum(weights, batch, out) {
      const gradient = gradients.get(batch.shards);
      if (gradient === undefined)
        throw new Error(`invariant broken: no graph for ${batch.shards} shards`);
      return gradient.compute(weights, batch, out);
    },
    predict: (weights, inputs, labels, out) => predictions.compute(weights, inputs, labels, out),
    tensorCount: () => addon.tensors(),
    dispose() {
      for (const { session } of [...gradients.values(), predictions]) session.dispose();
      gradients.clear();
    },
  };
}

/** The partial sums of subtrees of one size. */
class Gradient {
  readonly session: GraphSession;
  /** Where the parts of the gradient begin and end in the result. */
  readonly #parts: readonly (readonly [begin: number, end: number])[];
  readonly #classes: number;
  readonly #logits: Float32Array;

  constructor(addon: GraphAddon, support: Support, shape: EngineShape, shards: number) {
    const { model, rowsPerShard, labelSmoothing } = shape;
    const rows = shards * rowsPerShard;
    this.#classes = model.classes;
    this.#logits = new Float32Array(rows * model.classes);
    const graph = gradientGraph({ model, shards, rowsPerShard, labelSmoothing });
    this.session = prepared(() => loadGraph(addon, support, graph));
    const parameters = parameterCount(model);
    const offsets = gradientOffsets(model);
    this.#parts = offsets.map((begin, i) => [begin, offsets[i + 1] ?? parameters + 1]);
    const batch = {
      shards,
      rowsPerShard,
      inputs: new Float32Array(rows * inputCount(model)),
      labels: new Int32Array(rows),
      masks: dropoutOperations(model).map(({ units }) => new Float32Array(rows * units)),
      scale: new Float32Array(rows),
    };
    prepared(() => {
      this.compute(new Float32Array(parameters), batch, new Float32Array(parameters + 1));
    });
  }

  compute(weights: Float32Array, batch: Batch, out: Float32Array): number {
    this.session.run(
      [weights, batch.inputs, batch.labels, batch.scale, ...batch.masks],
      [...this.#parts.map(([begin, end]) => out.subarray(begin, end)), this.#logits],
    );
    return countCorrect(this.#logits, batch.labels, this.#classes);
  }
}

/** The predictions of one evaluation chunk. */
class Predictions {
  readonly session: GraphSession;
  readonly #rows: number;
  readonly #classes: number;
  readonly #logits: Float32Array;
  readonly #losses: Float32Array;
  readonly #probabilities: Float32Array;

  constructor(addon: GraphAddon, support: Support, { model, evaluationRows }: EngineShape) {
    const { classes } = model;
    this.#rows = evaluationRows;
    this.#classes = classes;
    this.#logits = new Float32Array(evaluationRows * classes);
    this.#losses = new Float32Array(evaluationRows);
    this.#probabilities = new Float32Array(evaluationRows * classes);
    const graph = predictionGraph(model, evaluationRows);
    this.session = prepared(() => loadGraph(addon, support, graph));
    prepared(() => {
      this.compute(
        new Float32Array(parameterCount(model)),
        new Float32Array(evaluationRows * inputCount(model)),
        new Int32Array(evaluationRows),
        new Float32Array(evaluationRows * (2 + classes)),
      );
    });
  }

  compute(
    weights: Float32Array,
    inputs: Float32Array,
    labels: Int32Array,
    out: Float32Array,
  ): void {
    this.session.run([weights, inputs, labels], [this.#logits, this.#losses, this.#probabilities]);
    const classes = this.#classes;
    const width = 2 + classes;
    for (let row = 0; row < this.#rows; row++) {
      out[row * width] = argmax(this.#logits, row * classes, classes);
      out[row * width + 1] = this.#losses[row] ?? 0;
      for (let j = 0; j < classes; j++)
        out[row * width + 2 + j] = this.#probabilities[row * classes + j] ?? 0;
    }
  }
}

/**
 * Loads a graph or makes its first call, on zeros, which creates its operations and allocates
 * memory, so it can fail in ways that later calls cannot. Throws ENGINE.
 */
function prepared<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new ClusterError('ENGINE', `TensorFlow cannot run the model: ${messageOf(error)}`, {
      fix:
        'run `npx mnist-dist doctor`; if memory is short, use a smaller --batch-size or ' +
        '--model',
      cause: error,
    });
  }
}
