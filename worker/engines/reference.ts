import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { argmax, type Engine, type EngineShape, processorName } from './engine.ts';
import { createFloat64Model, crossEntropy, softmax } from './float64.ts';

/**
 * The float64 oracle as an engine, with each shard's result rounded to float32. It is slow but
 * needs only Node. Its bytes depend on the Node version, because Math.exp and Math.log differ
 * between versions. It computes single shards only.
 */
export function createReferenceEngine(shape: EngineShape): Engine {
  const { model, evaluationRows, labelSmoothing } = shape;
  const float64 = createFloat64Model(model, labelSmoothing);
  const gradient = new Float64Array(parameterCount(model));
  const probabilities = new Float64Array(model.classes);
  return {
    description: {
      kind: 'reference',
      library: `mnist-dist in float64, Node ${process.versions.node}`,
      device: 'cpu',
      processor: processorName(),
      threads: 1,
    },
    partialSum(weights, batch, out) {
      const { loss, correct } = float64.gradient(weights, batch, gradient);
      out.set(gradient);
      out[gradient.length] = loss;
      return correct;
    },
    predict(weights, inputs, labels, out) {
      const width = 2 + model.classes;
      for (let row = 0; row < evaluationRows; row++) {
        const logits = float64.logits(weights, inputs, row);
        out[row * width] = argmax(logits, 0, model.classes);
        out[row * width + 1] = crossEntropy(logits, labels[row] ?? -1);
        softmax(logits, probabilities);
        out.set(probabilities, row * width + 2);
      }
    },
    tensorCount: () => 0,
    dispose() {},
  };
}
