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

/**
 * One shard's results; `rest` is the gradient of all parameters except the first kernel, then the
 * loss.
 */
interface ShardValues {
  readonly firstKernel: Value;
  readonly rest: Value;
  readonly logits: Value;
}

/** The graph's inputs. Those that contain samples are split into shards. */
interface Feeds {
  readonly kernels: readonly Value[];
  readonly biases: readonly Value[];
  readonly inputs: readonly Value[];
  /** Negative one-hot rows, and the same multiplied by `scale`. */
  readonly labels: readonly Value[];
  readonly scaledLabels: readonly Value[];
  readonly scale: readonly Value[];
  /** One list per hidden layer; empty without dropout. */
  readonly masks: readonly (readonly Value[])[];
}

/**
 * Forward pass, backward pass and tree sum of a subtree as one graph, so that a training step is
 * one call. Each shard has its own operations, so its bytes cannot depend on the other shards.
 *
 * Inputs, in this order: weights [P], inputs [rows, inputs], labels int32 [rows], scale [rows, 1],
 * then one mask [rows, units] per hidden layer. Outputs: the flattened gradient of the first
 * kernel; the gradient of all other parameters, followed by the loss; the logits [rows, classes].
 * The first kernel makes up nearly all of the gradient, so joining it to the rest would only cost
 * another copy.
 */
export function gradientGraph(shape: GradientShape): Graph {
  const graph = new GraphBuilder();
  const layers = denseLayers(shape.model);
  const feeds = addFeeds(graph, shape, layers);
  const shards = Array.from({ length: shape.shards }, (_, shard) =>
    addShard(graph, shape, layers, feeds, shard),
  );
  const firstKernel = addTree(
    graph,
    shards.map((shard) => shard.firstKernel),
  );
  const rest = addTree(
    graph,
    shards.map((shard) => shard.rest),
  );
  const logits = shards.map((shard) => shard.logits);
  return graph.build([
    firstKernel,
    rest,
    shape.shards === 1 ? item(logits, 0) : graph.concat(0, ...logits),
  ]);
}

function addFeeds(graph: GraphBuilder, shape: GradientShape, layers: readonly DenseLayer[]): Feeds {
  const { model, shards, rowsPerShard, hasDropout } = shape;
  const rows = shards * rowsPerShard;
  const { kernels, biases } = addWeights(graph, layers);
  const inputs = graph.placeholder('inputs', 'float32', [rows, model.inputs]);
  const labels = graph.negativeOneHot(graph.placeholder('labels', 'int32', [rows]), model.classes);
  const scale = graph.placeholder('scale', 'float32', [rows, 1]);
  const masks = hasDropout
    ? model.hidden.map((units, layer) =>
        graph.placeholder(`mask${layer}`, 'float32', [rows, units]),
      )
    : [];
  return {
    kernels,
    biases,
    inputs: graph.split(inputs, shards),
    labels: graph.split(labels, shards),
    scaledLabels: graph.split(graph.binary('Mul', labels, scale), shards),
    scale: graph.split(scale, shards),
    masks: masks.map((mask) => graph.split(mask, shards)),
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

function addShard(
  graph: GraphBuilder,
  shape: GradientShape,
  layers: readonly DenseLayer[],
  feeds: Feeds,
  shard: number,
): ShardValues {
  const last = layers.length - 1;
  const maskOf = (layer: number) => feeds.masks[layer]?.[shard];
  const scale = item(feeds.scale, shard);

  // The inputs of the layers, and the outputs of their ReLUs.
  const inputs: Value[] = [item(feeds.inputs, shard)];
  const activations: Value[] = [];
  let value = item(inputs, 0);
  layers.forEach((_, l) => {
    value = graph.binary(
      'BiasAdd',
      graph.matMul(value, item(feeds.kernels, l)),
      item(feeds.biases, l),
    );
    if (l === last) return;
    value = graph.unary('Relu', value);
    activations.push(value);
    const mask = maskOf(l);
    if (mask !== undefined) value = graph.binary('Mul', value, mask);
    inputs.push(value);
  });
  const logits = value;

  // The loss is the sum of -label * scale * log softmax; its gradient is (softmax - label) * scale.
  // They use separate operations, because TensorFlow's combined operation refuses to run on a GPU
  // with TF_DETERMINISTIC_OPS. The labels and the scale are 0 in padding.
  const logSoftmax = graph.unary('LogSoftmax', logits);
  const losses = graph.binary('Mul', item(feeds.scaledLabels, shard), logSoftmax);
  const difference = graph.binary(
    'AddV2',
    graph.unary('Exp', logSoftmax),
    item(feeds.labels, shard),
  );

  const gradients: Value[] = [graph.reshape(graph.sum(losses, 0, 1), 1)];
  let delta = graph.binary('Mul', difference, scale);
  for (let l = last; l > 0; l--) {
    const { inputs: width, units } = item(layers, l);
    const kernel = graph.matMul(item(inputs, l), delta, { transposeX: true });
    gradients.unshift(graph.reshape(kernel, width * units), graph.sum(delta, 0));
    const behind = graph.matMul(delta, item(feeds.kernels, l), { transposeY: true });
    const mask = maskOf(l - 1);
    const masked = mask === undefined ? behind : graph.binary('Mul', behind, mask);
    delta = graph.binary('ReluGrad', masked, item(activations, l - 1));
  }
  const firstKernel = graph.matMul(item(inputs, 0), delta, { transposeX: true });
  return { firstKernel, rest: graph.concat(0, graph.sum(delta, 0), ...gradients), logits };
}

/** The fixed tree: left + right in float32, level by level. */
function addTree(graph: GraphBuilder, shards: readonly Value[]): Value {
  if (shards.length === 1) return item(shards, 0);
  assert(shards.length % 2 === 0, `a tree has an even number of shards, not ${shards.length}`);
  const half = shards.length / 2;
  return graph.binary(
    'AddV2',
    addTree(graph, shards.slice(0, half)),
    addTree(graph, shards.slice(half)),
  );
}
