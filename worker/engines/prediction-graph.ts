import { inputCount } from '../../shared/arithmetic/model-shape.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { oneHot } from '../../shared/arithmetic/targets.ts';
import { addForward, addLayers } from './layer-graph.ts';
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
  const layers = addLayers(graph, model);
  const inputs = graph.placeholder('inputs', 'float32', [rows, inputCount(model)]);
  const labels = graph.placeholder('labels', 'int32', [rows]);
  const targets = graph.negativeTargets(labels, model.classes, oneHot);
  const computed = addForward(graph, layers, inputs, { shards: 1, rowsPerShard: rows });
  const logits = item(computed, computed.length - 1).to;
  const loss = graph.sum(graph.binary('Mul', targets, graph.unary('LogSoftmax', logits)), 1);
  return graph.build([logits, loss, graph.unary('Softmax', logits)]);
}
