import {
  biasLength,
  kernelShape,
  modelOperations,
  parameterCount,
} from '../../shared/arithmetic/model-shape.ts';
import type {
  Convolution,
  Dense,
  Dropout,
  ModelShape,
  Pooling,
  Volume,
} from '../../shared/arithmetic/model-shape.ts';
import { needsSecondChannel } from '../../shared/arithmetic/model-size.ts';
import type { GraphBuilder, Value } from './graph.ts';
import { item } from './engine.ts';

/** A convolution or a dense layer with its parameters. */
interface ParametricLayer {
  readonly operation: Convolution | Dense;
  readonly kernel: Value;
  readonly bias: Value;
}

/** An operation of the model in a graph. All shards share the parameters. */
export type GraphLayer = ParametricLayer | { readonly operation: Pooling | Dropout };

/** The rows of a batch. Convolutions and pooling have one shard's rows. */
export interface Rows {
  readonly shards: number;
  readonly rowsPerShard: number;
}

/** A layer of a batch, with what its backward pass needs. */
interface BatchLayer {
  readonly layer: GraphLayer;
  readonly from: Value;
  readonly to: Value;
  readonly mask: Value | undefined;
  /** The shape of a row of `to`; undefined if it is a vector. */
  readonly image: Volume | undefined;
}

/** From which the gradients of a layer's kernel and bias follow. */
export interface LayerGradient {
  readonly operation: Convolution | Dense;
  /** The layer's input. */
  readonly from: Value;
  /** The gradient of the layer's output, before the activation. */
  readonly delta: Value;
}

/** Adds the placeholder for the parameter vector, and splits it into kernels and biases. */
export function addLayers(graph: GraphBuilder, model: ModelShape): GraphLayer[] {
  const weights = graph.placeholder('weights', 'float32', [parameterCount(model)]);
  return modelOperations(model).map((operation): GraphLayer => {
    if (!('kernelOffset' in operation)) return { operation };
    const { kernelOffset, biasOffset } = operation;
    const flat = graph.slice(weights, kernelOffset, biasOffset - kernelOffset);
    const kernel = graph.reshape(flat, ...kernelShape(operation));
    return { operation, kernel, bias: graph.slice(weights, biasOffset, biasLength(operation)) };
  });
}

/** Applies an operation to each shard's rows on their own. */
export function eachShard(
  graph: GraphBuilder,
  shards: number,
  rows: Value,
  operation: (shard: Value) => Value,
): Value {
  const results = graph.split(rows, shards).map(operation);
  return shards === 1 ? item(results, 0) : graph.concat(0, ...results);
}

/**
 * The forward pass from inputs [rows, inputs] to the last layer, which computes the logits. Without
 * masks, as in a prediction, dropout does nothing.
 */
export function addForward(
  graph: GraphBuilder,
  layers: readonly GraphLayer[],
  inputs: Value,
  { shards, rowsPerShard }: Rows,
  masks: readonly Value[] = [],
): BatchLayer[] {
  const rows = shards * rowsPerShard;
  const batch: BatchLayer[] = [];
  let value = inputs;
  let image: Volume | undefined;
  let dropouts = 0;
  for (const layer of layers) {
    const { operation } = layer;
    if ('window' in operation) {
      if (image === undefined) value = reshapeImage(graph, value, rows, operation.from);
      image = operation.to;
    } else if (operation.kind === 'dense') {
      if (image !== undefined) value = graph.reshape(value, rows, operation.inputs);
      image = undefined;
    }
    let mask: Value | undefined;
    if (operation.kind === 'dropout') {
      mask = masks[dropouts++];
      if (mask === undefined) continue;
      if (image !== undefined) mask = reshapeImage(graph, mask, rows, image);
    }
    const to = addOutput(graph, layer, value, mask, { shards, rowsPerShard });
    batch.push({ layer, from: value, to, mask, image });
    value = to;
  }
  return batch;
}

function addOutput(
  graph: GraphBuilder,
  layer: GraphLayer,
  from: Value,
  mask: Value | undefined,
  { shards, rowsPerShard }: Rows,
): Value {
  if ('kernel' in layer) {
    const { operation, kernel, bias } = layer;
    const product =
      operation.kind === 'dense'
        ? eachShard(graph, shards, from, (rows) => graph.matMul(rows, kernel))
        : addConvolution(graph, operation, from, kernel, rowsPerShard);
    const sum = graph.binary('BiasAdd', product, bias);
    return operation.activation === 'relu' ? graph.unary('Relu', sum) : sum;
  }
  const { operation } = layer;
  if (operation.kind === 'dropout')
    return mask === undefined ? from : graph.binary('Mul', from, mask);
  const kind = operation.kind === 'max_pooling2d' ? 'MaxPool' : 'AvgPool';
  return graph.windowed(kind, [from], operation.window);
}

/**
 * On a processor, TensorFlow 2.21 reads values outside the image if it has one channel, the output
 * is one column wide and the strides differ. A second channel of zeros avoids that.
 */
function addConvolution(
  graph: GraphBuilder,
  operation: Convolution,
  from: Value,
  kernel: Value,
  rows: number,
): Value {
  const { from: image, window } = operation;
  if (!needsSecondChannel(operation)) return graph.windowed('Conv2D', [from, kernel], window);
  const [images, kernels] = [
    graph.zeros(imageShape(rows, image), from),
    graph.zeros(kernelShape(operation), from),
  ];
  const inputs = [graph.concat(3, from, images), graph.concat(2, kernel, kernels)];
  return graph.windowed('Conv2D', inputs, window);
}

/**
 * The backward pass from the gradient of the logits to the first layer with parameters. Returns the
 * layers with parameters, in order.
 */
export function addBackward(
  graph: GraphBuilder,
  batch: readonly BatchLayer[],
  gradientOfLogits: Value,
  { shards, rowsPerShard }: Rows,
): LayerGradient[] {
  const rows = shards * rowsPerShard;
  const first = batch.findIndex(({ layer }) => 'kernel' in layer);
  const gradients: LayerGradient[] = [];
  let delta = gradientOfLogits;
  let isImage = false;
  for (const [index, part] of [...batch.entries()].slice(first).toReversed()) {
    const { layer, from, to, image } = part;
    if (image !== undefined && !isImage) delta = reshapeImage(graph, delta, rows, image);
    isImage = image !== undefined;
    if ('kernel' in layer) {
      const { operation } = layer;
      if (operation.activation === 'relu') delta = graph.binary('ReluGrad', delta, to);
      gradients.unshift({ operation, from, delta });
    }
    if (index > first) delta = addInputGradient(graph, part, delta, { shards, rowsPerShard });
  }
  return gradients;
}

/** The gradient of a kernel, from one shard's rows; it is computed after the value `after`. */
export function addKernelGradient(
  graph: GraphBuilder,
  { operation, from, delta }: LayerGradient,
  after?: Value,
): Value {
  if (operation.kind === 'dense') return graph.matMul(from, delta, { transposeX: true, after });
  const sizes = graph.integers(...kernelShape(operation));
  return graph.windowed('Conv2DBackpropFilter', [from, sizes, delta], operation.window);
}

/** The gradient of a layer's input, from that of its output before the activation. */
function addInputGradient(
  graph: GraphBuilder,
  { layer, from, to, mask }: BatchLayer,
  delta: Value,
  { shards, rowsPerShard }: Rows,
): Value {
  if ('kernel' in layer) {
    const { operation, kernel } = layer;
    if (operation.kind === 'dense')
      return eachShard(graph, shards, delta, (rows) =>
        graph.matMul(rows, kernel, { transposeY: true }),
      );
    const sizes = graph.integers(...imageShape(rowsPerShard, operation.from));
    return graph.windowed('Conv2DBackpropInput', [sizes, kernel, delta], operation.window);
  }
  const { operation } = layer;
  if (operation.kind === 'dropout')
    return mask === undefined ? delta : graph.binary('Mul', delta, mask);
  if (operation.kind === 'max_pooling2d')
    return graph.windowed('MaxPoolGrad', [from, to, delta], operation.window);
  const sizes = graph.integers(...imageShape(rowsPerShard, operation.from));
  return graph.windowed('AvgPoolGrad', [sizes, delta], operation.window);
}

function reshapeImage(graph: GraphBuilder, value: Value, rows: number, image: Volume): Value {
  return graph.reshape(value, ...imageShape(rows, image));
}

function imageShape(rows: number, { height, width, channels }: Volume): number[] {
  return [rows, height, width, channels];
}
