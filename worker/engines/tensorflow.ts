import { ClusterError, messageOf } from '../../shared/errors.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { loadTensorFlow } from '../native/load.ts';
import { loadSupport, type Support } from '../native/addons/support.ts';
import type { Binding } from '../native/binding.ts';
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
import { gradientGraph } from './gradient-graph.ts';
import { predictionGraph } from './prediction-graph.ts';
import { loadGraph } from './graph-session.ts';
import type { Feed, GraphSession } from './graph-session.ts';

/**
 * TensorFlow through tfjs-node's binding, with one graph per subtree size and one call per partial
 * sum. All graphs are built and warmed up before this function returns. Throws ENGINE if the
 * library or the device is not available.
 */
export function createTensorFlowEngine(shape: EngineShape, options: EngineOptions): Engine {
  const binding = loadTensorFlow();
  const support = loadSupport();
  const device = describeDevice(options.device, binding.isUsingGpuDevice());
  const gradients = new Map(
    shape.shardCounts.map((shards) => [shards, loadGradient(binding, support, shape, shards)]),
  );
  const predictions = loadPrediction(binding, support, shape);
  return {
    description: {
      kind: 'tensorflow',
      library: `TensorFlow ${binding.TF_Version} (tfjs-node-gpu ${tfjsPackage().version})`,
      device,
      processor: processorName(),
      threads: options.threads,
    },
    partialSum(weights, batch, out) {
      const session = gradients.get(batch.shards);
      if (session === undefined)
        throw new Error(`invariant broken: no graph for ${batch.shards} shards`);
      return runGradient(session, shape, weights, batch, out);
    },
    predict: (weights, inputs, labels, out) =>
      runPrediction(predictions, shape, weights, inputs, labels, out),
    tensorCount: () => binding.getNumOfTensors(),
    dispose() {
      for (const session of [...gradients.values(), predictions]) session.dispose();
      gradients.clear();
    },
  };
}

function loadGradient(
  binding: Binding,
  support: Support,
  shape: EngineShape,
  shards: number,
): GraphSession {
  const { model, rowsPerShard, hasDropout } = shape;
  const rows = shards * rowsPerShard;
  const feeds: Feed[] = [
    { type: 'float32', shape: [parameterCount(model)] },
    { type: 'float32', shape: [rows, model.inputs] },
    { type: 'int32', shape: [rows] },
    { type: 'float32', shape: [rows, 1] },
    ...(hasDropout ? model.hidden : []).map((units): Feed => ({
      type: 'float32',
      shape: [rows, units],
    })),
  ];
  return warmed(
    loadGraph(binding, support, gradientGraph({ model, shards, rowsPerShard, hasDropout }), feeds),
    feeds,
  );
}

function runGradient(
  session: GraphSession,
  { model }: EngineShape,
  weights: Float32Array,
  batch: Batch,
  out: Float32Array,
): number {
  const firstBias = model.inputs * (model.hidden[0] ?? model.classes);
  let correct = 0;
  session.run(
    [weights, batch.inputs, batch.labels, batch.scale, ...batch.masks],
    (output, index) => {
      if (index === 0) out.set(output);
      else if (index === 1) out.set(output, firstBias);
      else correct = countCorrect(output, batch.labels, model.classes);
    },
  );
  return correct;
}

function loadPrediction(
  binding: Binding,
  support: Support,
  { model, evaluationRows }: EngineShape,
): GraphSession {
  const feeds: Feed[] = [
    { type: 'float32', shape: [parameterCount(model)] },
    { type: 'float32', shape: [evaluationRows, model.inputs] },
    { type: 'int32', shape: [evaluationRows] },
  ];
  return warmed(loadGraph(binding, support, predictionGraph(model, evaluationRows), feeds), feeds);
}

function runPrediction(
  session: GraphSession,
  { model, evaluationRows }: EngineShape,
  weights: Float32Array,
  inputs: Float32Array,
  labels: Int32Array,
  out: Float32Array,
): void {
  const { classes } = model;
  const width = 2 + classes;
  session.run([weights, inputs, labels], (output, index) => {
    for (let row = 0; row < evaluationRows; row++) {
      if (index === 0) out[row * width] = argmax(output, row * classes, classes);
      else if (index === 1) out[row * width + 1] = output[row] ?? 0;
      else
        for (let j = 0; j < classes; j++) out[row * width + 2 + j] = output[row * classes + j] ?? 0;
    }
  });
}

/**
 * Runs the graph once on zeros. The first call optimizes the graph and allocates memory, so it can
 * fail in ways that later calls cannot.
 */
function warmed(session: GraphSession, feeds: readonly Feed[]): GraphSession {
  const zeros = feeds.map(({ type, shape }) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length);
  });
  try {
    session.run(zeros, () => undefined);
  } catch (error) {
    throw new ClusterError('ENGINE', `TensorFlow cannot run the model: ${messageOf(error)}`, {
      fix:
        'run `npx mnist-dist doctor`; if memory is short, use a smaller --batch-size or ' +
        '--hidden',
      cause: error,
    });
  }
  return session;
}
