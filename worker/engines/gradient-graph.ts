import { assert } from '../../shared/errors.ts';
import { denseLayers } from '../../shared/arithmetic/model-shape.ts';
import type { DenseLayer, ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { GraphBuilder } from './graph.ts';
import type { Graph, Value } from './graph.ts';
import { item } from './engine.ts';

export interface GradientShape {
  readonly model: ModelShape;
  /** Number of shards in the subtree: a power of two. */
  readonly shards: number;
  readonly rowsPerShard: number;
  readonly hasDropout: boolean;
}

/** The graph's inputs. Those that contain samples have the rows of all shards. */
interface Feeds {
  readonly kernels: readonly Value[];
  readonly biases: readonly Value[];
  readonly inputs: Value;
  /** Negative one-hot rows. */
  readonly labels: Value;
  readonly scale: Value;
  /** One per hidden layer; empty without dropout. */
  readonly masks: readonly Value[];
}

/** What the backward pass needs, for all rows. */
interface Forward {
  /** The inputs of the layers. */
  readonly inputs: readonly Value[];
  /** The outputs of the layers' ReLUs. */
  readonly activations: readonly Value[];
  readonly logits: Value;
}

/** What a shard's gradient is computed from: one shard's rows of each value. */
interface ShardRows {
  /** By layer. */
  readonly inputs: readonly Value[];
  /** The gradients of the layers' outputs, by layer. */
  readonly deltas: readonly Value[];
  readonly losses: Value;
}

/**
 * Forward pass, backward pass and tree sum of a subtree as one graph, so that a training step is
 * one call.
 *
 * A shard's bytes must not depend on the other shards. So an operation in which rows or the places
 * of elements can matter has only one shard's rows: a matrix product, a sum over rows, and
 * functions that are computed differently for the last few elements of an array (LogSoftmax, Exp).
 * The others (sums, products and ReLUs of single elements, each rounded on its own) have all rows,
 * which takes fewer operations.
 *
 * Inputs, in this order: weights [P], inputs [rows, inputs], labels int32 [rows], scale [rows, 1],
 * then one mask [rows, units] per hidden layer. Outputs: the flattened gradient of the first
 * kernel; the gradient of all other parameters, followed by the loss; the logits [rows, classes].
 * The first kernel makes up nearly all of the gradient, so joining it to the rest would only cost
 * another copy.
 */
export function gradientGraph(shape: GradientShape): Graph {
  const { shards } = shape;
  const graph = new GraphBuilder();
  const layers = denseLayers(shape.model);
  const feeds = addFeeds(graph, shape);
  const forward = addForward(graph, shards, layers, feeds);
  const rows = addBackward(graph, shards, layers, feeds, forward);
  const firstKernel = addTree(
    graph,
    rows.map(({ inputs, deltas }) => (after) => {
      const [input, delta] = [item(inputs, 0), item(deltas, 0)];
      return graph.matMul(input, delta, { transposeX: true, after });
    }),
  );
  const rest = addTree(
    graph,
    rows.map((shard) => () => addRest(graph, layers, shard)),
  );
  return graph.build([firstKernel, rest, forward.logits]);
}

function addFeeds(graph: GraphBuilder, shape: GradientShape): Feeds {
  const { model, shards, rowsPerShard, hasDropout } = shape;
  const rows = shards * rowsPerShard;
  const { kernels, biases } = addWeights(graph, denseLayers(model));
  return {
    kernels,
    biases,
    inputs: graph.placeholder('inputs', 'float32', [rows, model.inputs]),
    labels: graph.negativeOneHot(graph.placeholder('labels', 'int32', [rows]), model.classes),
    scale: graph.placeholder('scale', 'float32', [rows, 1]),
    masks: hasDropout
      ? model.hidden.map((units, layer) =>
          graph.placeholder(`mask${layer}`, 'float32', [rows, units]),
        )
      : [],
  };
}

/** Adds the placeholder for the parameter vector, and splits it into kernels and biases. */
export function addWeights(
  graph: GraphBuilder,
  layers: readonly DenseLayer[],
): { kernels: Value[]; biases: Value[] } {
  const { biasOffset, units } = item(layers, layers.length - 1);
  const weights = graph.placeholder('weights', 'float32', [biasOffset + units]);
  return {
    kernels: layers.map((layer) => {
      const flat = graph.slice(weights, layer.kernelOffset, layer.inputs * layer.units);
      return graph.reshape(flat, layer.inputs, layer.units);
    }),
    biases: layers.map((layer) => graph.slice(weights, layer.biasOffset, layer.units)),
  };
}

/** Applies an operation to each shard's rows on their own. */
function eachShard(
  graph: GraphBuilder,
  shards: number,
  rows: Value,
  operation: (shard: Value) => Value,
): Value {
  const results = graph.split(rows, shards).map(operation);
  return shards === 1 ? item(results, 0) : graph.concat(0, ...results);
}

function addForward(
  graph: GraphBuilder,
  shards: number,
  layers: readonly DenseLayer[],
  { inputs: first, kernels, biases, masks }: Feeds,
): Forward {
  const inputs: Value[] = [first];
  const activations: Value[] = [];
  let value = first;
  layers.forEach((_, l) => {
    const product = eachShard(graph, shards, value, (rows) => graph.matMul(rows, item(kernels, l)));
    value = graph.binary('BiasAdd', product, item(biases, l));
    if (l === layers.length - 1) return;
    value = graph.unary('Relu', value);
    activations.push(value);
    const mask = masks[l];
    if (mask !== undefined) value = graph.binary('Mul', value, mask);
    inputs.push(value);
  });
  return { inputs, activations, logits: value };
}

/**
 * The loss is the sum of -label * scale * log softmax; its gradient is (softmax - label) * scale.
 * They use separate operations, because TensorFlow's combined operation refuses to run on a GPU
 * with TF_DETERMINISTIC_OPS. The labels and the scale are 0 in padding.
 */
function addBackward(
  graph: GraphBuilder,
  shards: number,
  layers: readonly DenseLayer[],
  { kernels, labels, scale, masks }: Feeds,
  { inputs, activations, logits }: Forward,
): ShardRows[] {
  const logSoftmaxOf = (rows: Value) => graph.unary('LogSoftmax', rows);
  const logSoftmax = eachShard(graph, shards, logits, logSoftmaxOf);
  const softmax = eachShard(graph, shards, logSoftmax, (rows) => graph.unary('Exp', rows));
  const losses = graph.binary('Mul', graph.binary('Mul', labels, scale), logSoftmax);
  let delta = graph.binary('Mul', graph.binary('AddV2', softmax, labels), scale);
  const deltas = [delta];
  for (let l = layers.length - 1; l > 0; l--) {
    const behind = eachShard(graph, shards, delta, (rows) =>
      graph.matMul(rows, item(kernels, l), { transposeY: true }),
    );
    const mask = masks[l - 1];
    const masked = mask === undefined ? behind : graph.binary('Mul', behind, mask);
    delta = graph.binary('ReluGrad', masked, item(activations, l - 1));
    deltas.unshift(delta);
  }
  const split = (values: readonly Value[]) => values.map((value) => graph.split(value, shards));
  const parts = { inputs: split(inputs), deltas: split(deltas), losses: split([losses]) };
  return Array.from({ length: shards }, (_, shard) => ({
    inputs: parts.inputs.map((value) => item(value, shard)),
    deltas: parts.deltas.map((value) => item(value, shard)),
    losses: item(item(parts.losses, 0), shard),
  }));
}

/** The gradient of all parameters except the first kernel, then the loss. */
function addRest(
  graph: GraphBuilder,
  layers: readonly DenseLayer[],
  { inputs, deltas, losses }: ShardRows,
): Value {
  const gradients = layers.flatMap(({ inputs: width, units }, l) => {
    const bias = graph.sum(item(deltas, l), 0);
    if (l === 0) return [bias];
    const kernel = graph.matMul(item(inputs, l), item(deltas, l), { transposeX: true });
    return [graph.reshape(kernel, width * units), bias];
  });
  return graph.concat(0, ...gradients, graph.reshape(graph.sum(losses, 0, 1), 1));
}

/**
 * The fixed tree: left + right in float32, level by level. Each leaf is computed only once the sum
 * before it is complete, so that few of them exist at a time: their memory stays in the cache.
 */
function addTree(
  graph: GraphBuilder,
  leaves: readonly ((after: Value | undefined) => Value)[],
  after?: Value,
): Value {
  if (leaves.length === 1) return item(leaves, 0)(after);
  assert(leaves.length % 2 === 0, `a tree has an even number of shards, not ${leaves.length}`);
  const half = leaves.length / 2;
  const left = addTree(graph, leaves.slice(0, half), after);
  return graph.binary('AddV2', left, addTree(graph, leaves.slice(half), left));
}
