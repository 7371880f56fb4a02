import { assert } from '../../shared/errors.ts';
import {
  dropoutOperations,
  inputCount,
  parameterCount,
  parametricOperations,
} from '../../shared/arithmetic/model-shape.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { hasImages } from '../../shared/arithmetic/model-size.ts';
import { targetsOf } from '../../shared/arithmetic/targets.ts';
import { GraphBuilder } from './graph.ts';
import type { Graph, Value } from './graph.ts';
import { item } from './engine.ts';
import {
  addBackward,
  addForward,
  addKernelGradient,
  addLayers,
  eachShard,
  type GraphLayer,
  type LayerGradient,
  type Rows,
} from './layer-graph.ts';

export interface GradientShape {
  readonly model: ModelShape;
  /** Number of shards in the subtree: a power of two. */
  readonly shards: number;
  readonly rowsPerShard: number;
  /** 0 if absent. */
  readonly labelSmoothing?: number | undefined;
}

/** The graph's inputs. Those that contain samples have the rows of one or more shards. */
interface Feeds {
  readonly inputs: Value;
  /** Negative targets. */
  readonly targets: Value;
  readonly scale: Value;
  /** One per dropout operation. */
  readonly masks: readonly Value[];
}

/** What a shard's gradient is computed from. */
interface ShardParts {
  /** By layer with parameters. */
  readonly layers: readonly LayerGradient[];
  readonly losses: Value;
}

/** The part of a tree's leaf, which is computed after the value `after`. */
type Leaf = (after: Value | undefined) => Value;

/**
 * Forward pass, backward pass and tree sum of a subtree as one graph, so that a training step is
 * one call.
 *
 * A shard's bytes must not depend on the other shards. So an operation in which rows or the places
 * of elements can matter has only one shard's rows: a matrix product, a sum over rows, and
 * functions that are computed differently for the last few elements of an array (LogSoftmax, Exp).
 * The others (sums, products and ReLUs of single elements, each rounded on its own) have all rows,
 * which takes fewer operations. In a model with images, all operations have one shard's rows:
 * joining and splitting images takes longer than more operations do.
 *
 * Inputs, in this order: weights [P], inputs [rows, inputs], labels int32 [rows], scale [rows, 1],
 * then one mask [rows, units] per dropout operation. Outputs: the parts of the gradient, which
 * begin at `gradientOffsets`; the last part ends with the loss. Then the logits [rows, classes].
 */
export function gradientGraph(shape: GradientShape): Graph {
  const { model, shards } = shape;
  const graph = new GraphBuilder();
  const layers = addLayers(graph, model);
  const feeds = addFeeds(graph, shape);
  return graph.build(
    hasImages(model)
      ? addShardsInTurn(graph, shape, layers, feeds)
      : addShardsTogether(graph, shape, layers, feeds, shards),
  );
}

/**
 * Where the graph's parts of the gradient begin. A first dense kernel that makes up most of the
 * gradient is a part of its own, because joining it to the rest would only cost another copy.
 */
export function gradientOffsets(model: ModelShape): number[] {
  const { biasOffset } = item(parametricOperations(model), 0);
  const isApart = !hasImages(model) && 2 * biasOffset > parameterCount(model);
  return isApart ? [0, biasOffset] : [0];
}

function addFeeds(
  graph: GraphBuilder,
  { model, shards, rowsPerShard, labelSmoothing }: GradientShape,
): Feeds {
  const rows = shards * rowsPerShard;
  const { classes } = model;
  const targets = targetsOf(classes, labelSmoothing);
  return {
    inputs: graph.placeholder('inputs', 'float32', [rows, inputCount(model)]),
    targets: graph.negativeTargets(graph.placeholder('labels', 'int32', [rows]), classes, targets),
    scale: graph.placeholder('scale', 'float32', [rows, 1]),
    masks: dropoutOperations(model).map(({ units }, index) =>
      graph.placeholder(`mask${index}`, 'float32', [rows, units]),
    ),
  };
}

/** The outputs for a dense model, whose elementwise operations have the rows of all shards. */
function addShardsTogether(
  graph: GraphBuilder,
  { model, rowsPerShard }: GradientShape,
  layers: readonly GraphLayer[],
  feeds: Feeds,
  shards: number,
): Value[] {
  const { parts, logits } = addPasses(graph, layers, feeds, { shards, rowsPerShard });
  const apart = gradientOffsets(model).length - 1;
  const kernels: (readonly Leaf[])[] = apart === 0 ? [] : [parts.map(kernelLeaf(graph))];
  const rest = parts.map(
    (shard): Leaf =>
      () =>
        addRest(graph, shard, apart),
  );
  return [...kernels, rest].map((leaves) => addTree(graph, leaves)).concat(logits);
}

function kernelLeaf(graph: GraphBuilder): (shard: ShardParts) => Leaf {
  return ({ layers }) =>
    (after) =>
      addKernelGradient(graph, item(layers, 0), after);
}

/** The outputs for a model with images, one shard after the other. */
function addShardsInTurn(
  graph: GraphBuilder,
  { shards, rowsPerShard }: GradientShape,
  layers: readonly GraphLayer[],
  feeds: Feeds,
): Value[] {
  const split = (value: Value) => graph.split(value, shards);
  const [inputs, targets, scale] = [split(feeds.inputs), split(feeds.targets), split(feeds.scale)];
  const masks = feeds.masks.map(split);
  const logits: Value[] = [];
  const leaves = inputs.map((_, shard): Leaf => (after) => {
    const own = {
      inputs: graph.identity(item(inputs, shard), after),
      targets: item(targets, shard),
      scale: item(scale, shard),
      masks: masks.map((mask) => item(mask, shard)),
    };
    const passes = addPasses(graph, layers, own, { shards: 1, rowsPerShard });
    logits[shard] = passes.logits;
    return addRest(graph, item(passes.parts, 0), 0);
  });
  const sum = addTree(graph, leaves);
  return [sum, shards === 1 ? item(logits, 0) : graph.concat(0, ...logits)];
}

/**
 * The loss is the sum of -target * scale * log softmax; its gradient is (softmax - target) * scale.
 * They use separate operations, because TensorFlow's combined operation refuses to run on a GPU
 * with TF_DETERMINISTIC_OPS. The scale is 0 in padding.
 */
function addPasses(
  graph: GraphBuilder,
  layers: readonly GraphLayer[],
  { inputs, targets, scale, masks }: Feeds,
  rows: Rows,
): { parts: ShardParts[]; logits: Value } {
  const { shards } = rows;
  const computed = addForward(graph, layers, inputs, rows, masks);
  const logits = item(computed, computed.length - 1).to;
  const logSoftmaxOf = (value: Value) => graph.unary('LogSoftmax', value);
  const logSoftmax = eachShard(graph, shards, logits, logSoftmaxOf);
  const softmax = eachShard(graph, shards, logSoftmax, (value) => graph.unary('Exp', value));
  const losses = graph.binary('Mul', graph.binary('Mul', targets, scale), logSoftmax);
  const delta = graph.binary('Mul', graph.binary('AddV2', softmax, targets), scale);
  const gradients = addBackward(graph, computed, delta, rows).map(({ operation, from, delta }) => ({
    operation,
    from: graph.split(from, shards),
    delta: graph.split(delta, shards),
  }));
  const shardLosses = graph.split(losses, shards);
  const parts = shardLosses.map((own, shard) => ({
    layers: gradients.map(({ operation, from, delta }) => ({
      operation,
      from: item(from, shard),
      delta: item(delta, shard),
    })),
    losses: own,
  }));
  return { parts, logits };
}

/** The gradient of all parameters except the first `apart` kernels, then the loss. */
function addRest(graph: GraphBuilder, { layers, losses }: ShardParts, apart: number): Value {
  const gradients = layers.flatMap((layer, index) => {
    const axes = layer.operation.kind === 'dense' ? [0] : [0, 1, 2];
    const bias = graph.sum(layer.delta, ...axes);
    if (index < apart) return [bias];
    const { kernelOffset, biasOffset } = layer.operation;
    const kernel = addKernelGradient(graph, layer);
    return [graph.reshape(kernel, biasOffset - kernelOffset), bias];
  });
  return graph.concat(0, ...gradients, graph.reshape(graph.sum(losses, 0, 1), 1));
}

/**
 * The fixed tree: left + right in float32, level by level. Each leaf is computed only once the sum
 * before it is complete, so that few of them exist at a time: their memory stays in the cache.
 */
function addTree(graph: GraphBuilder, leaves: readonly Leaf[], after?: Value): Value {
  if (leaves.length === 1) return item(leaves, 0)(after);
  assert(leaves.length % 2 === 0, `a tree has an even number of shards, not ${leaves.length}`);
  const half = leaves.length / 2;
  const left = addTree(graph, leaves.slice(0, half), after);
  return graph.binary('AddV2', left, addTree(graph, leaves.slice(half), left));
}
