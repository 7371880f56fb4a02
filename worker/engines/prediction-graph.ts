import { denseLayers } from '../../shared/arithmetic/model-shape.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { addWeights } from './gradient-graph.ts';
import { GraphBuilder } from './graph.ts';
import type { Graph } from './graph.ts';
import { item } from './engine.ts';

/**
 * Predictions for one evaluation chunk. Inputs, in this order: weights [P], inputs [rows, inputs],
 * labels int32 [rows]. Outputs: logits [rows, classes], loss [rows] (0 in padding), probabilities
 * [rows, classes].
 */
export function predictionGraph(model: ModelShape, rows: number): Graph {
  const graph = new GraphBuilder();
  const layers = denseLayers(model);
  const { kernels, biases } = addWeights(graph, layers);
  let value = graph.placeholder('inputs', 'float32', [rows, model.inputs]);
  const labels = graph.negativeOneHot(graph.placeholder('labels', 'int32', [rows]), model.classes);
  layers.forEach((_, l) => {
    value = graph.binary('BiasAdd', graph.matMul(value, item(kernels, l)), item(biases, l));
    if (l < layers.length - 1) value = graph.unary('Relu', value);
  });
  const loss = graph.sum(graph.binary('Mul', labels, graph.unary('LogSoftmax', value)), 1);
  return graph.build([value, loss, graph.unary('Softmax', value)]);
}
