import { denseLayers } from '../../shared/arithmetic/model-shape.ts';
import type { DenseLayer, ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { argmax, type Batch, item } from './engine.ts';

type Floats = Float32Array | Float64Array;

interface Float64Result {
  /** Sum of scale * cross-entropy over the rows. */
  readonly loss: number;
  /** Number of rows whose largest logit is that of their label; ties go to the lowest class. */
  readonly correct: number;
}

/**
 * The model in float64, row by row, as in a textbook: the oracle for every engine. It reuses its
 * workspace, so calls do not allocate memory.
 */
export interface Float64Model {
  /**
   * Writes the gradient of sum(scale * cross-entropy) over all rows of the batch to `gradient` (P
   * values). Rows are summed in order, without shards.
   */
  gradient(weights: Floats, batch: Batch, gradient: Float64Array): Float64Result;
  /** The logits of row `row` of `inputs`, without dropout; valid until the next call. */
  logits(weights: Floats, inputs: Float32Array, row: number): Float64Array;
}

export function createFloat64Model(model: ModelShape): Float64Model {
  const layers = denseLayers(model);
  const widths = [model.inputs, ...model.hidden, model.classes];
  // values[l] is the input to layer l, and the last entry holds the logits; deltas[l] is the
  // gradient with respect to values[l].
  const values = widths.map((width) => new Float64Array(width));
  const deltas = widths.map((width) => new Float64Array(width));
  const logits = item(values, layers.length);
  const deltaLogits = item(deltas, layers.length);

  function forward(
    weights: Floats,
    inputs: Float32Array,
    row: number,
    masks: readonly Float32Array[],
  ): void {
    item(values, 0).set(inputs.subarray(row * model.inputs, (row + 1) * model.inputs));
    layers.forEach((layer, l) => {
      const to = item(values, l + 1);
      dense(layer, weights, item(values, l), to);
      if (l < layers.length - 1) activate(to, masks[l], row);
    });
  }

  function backward(weights: Floats, batch: Batch, row: number, gradient: Float64Array): void {
    for (let l = layers.length - 1; l >= 0; l--) {
      const layer = item(layers, l);
      addOuter(layer, item(values, l), item(deltas, l + 1), gradient);
      if (l > 0)
        pullBack(
          layer,
          weights,
          item(deltas, l + 1),
          item(values, l),
          batch.masks[l - 1],
          row,
          item(deltas, l),
        );
    }
  }

  return {
    gradient(weights, batch, gradient) {
      gradient.fill(0);
      let loss = 0;
      let correct = 0;
      for (let row = 0; row < batch.labels.length; row++) {
        const scale = batch.scale[row] ?? 0;
        const label = batch.labels[row] ?? -1;
        if (label < 0) continue;
        forward(weights, batch.inputs, row, batch.masks);
        if (argmax(logits, 0, model.classes) === label) correct++;
        loss += scale * crossEntropy(logits, label);
        softmax(logits, deltaLogits);
        deltaLogits[label] = (deltaLogits[label] ?? 0) - 1;
        for (let j = 0; j < deltaLogits.length; j++) deltaLogits[j] = (deltaLogits[j] ?? 0) * scale;
        backward(weights, batch, row, gradient);
      }
      return { loss, correct };
    },
    logits(weights, inputs, row) {
      forward(weights, inputs, row, []);
      return logits;
    },
  };
}

/** -log softmax(logits)[label]; 0 without a label (-1). */
export function crossEntropy(logits: Float64Array, label: number): number {
  return label < 0 ? 0 : logSumExp(logits) - (logits[label] ?? 0);
}

/** Writes exp(logits) / sum(exp(logits)) to `out`. */
export function softmax(logits: Float64Array, out: Float64Array): void {
  const norm = logSumExp(logits);
  for (let j = 0; j < logits.length; j++) out[j] = Math.exp((logits[j] ?? 0) - norm);
}

function logSumExp(logits: Float64Array): number {
  let largest = -Infinity;
  for (const value of logits) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

/** to = from * kernel + bias. */
function dense(
  { inputs, units, kernelOffset, biasOffset }: DenseLayer,
  weights: Floats,
  from: Floats,
  to: Floats,
): void {
  for (let j = 0; j < units; j++) to[j] = weights[biasOffset + j] ?? 0;
  for (let i = 0; i < inputs; i++) {
    const value = from[i] ?? 0;
    if (value === 0) continue;
    const row = kernelOffset + i * units;
    for (let j = 0; j < units; j++) to[j] = (to[j] ?? 0) + value * (weights[row + j] ?? 0);
  }
}

/** ReLU, then dropout, in place. */
function activate(values: Float64Array, mask: Float32Array | undefined, row: number): void {
  const start = row * values.length;
  for (let j = 0; j < values.length; j++) {
    const value = values[j] ?? 0;
    values[j] = value > 0 ? value * (mask?.[start + j] ?? 1) : 0;
  }
}

/** gradient of kernel += outer(from, delta), gradient of bias += delta. */
function addOuter(
  layer: DenseLayer,
  from: Float64Array,
  delta: Float64Array,
  gradient: Float64Array,
): void {
  const { inputs, units, kernelOffset, biasOffset } = layer;
  for (let i = 0; i < inputs; i++) {
    const value = from[i] ?? 0;
    if (value === 0) continue;
    const row = kernelOffset + i * units;
    for (let j = 0; j < units; j++)
      gradient[row + j] = (gradient[row + j] ?? 0) + value * (delta[j] ?? 0);
  }
  for (let j = 0; j < units; j++)
    gradient[biasOffset + j] = (gradient[biasOffset + j] ?? 0) + (delta[j] ?? 0);
}

/**
 * The gradient with respect to the layer's input, through dropout and ReLU. A value above 0 has
 * passed both; any other value has gradient 0.
 */
function pullBack(
  { inputs, units, kernelOffset }: DenseLayer,
  weights: Floats,
  delta: Float64Array,
  values: Float64Array,
  mask: Float32Array | undefined,
  row: number,
  out: Float64Array,
): void {
  for (let i = 0; i < inputs; i++) {
    let sum = 0;
    if ((values[i] ?? 0) > 0) {
      const start = kernelOffset + i * units;
      for (let j = 0; j < units; j++) sum += (weights[start + j] ?? 0) * (delta[j] ?? 0);
      sum *= mask?.[row * inputs + i] ?? 1;
    }
    out[i] = sum;
  }
}
