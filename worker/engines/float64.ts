import {
  computeLayer,
  eachTap,
  eachWindow,
  firstLargest,
  type Floats,
} from '../../shared/arithmetic/float64-layers.ts';
import { inputCount, modelOperations, outputValues } from '../../shared/arithmetic/model-shape.ts';
import type {
  Convolution,
  Dense,
  Dropout,
  ModelShape,
  Operation,
  Pooling,
} from '../../shared/arithmetic/model-shape.ts';
import { targetsOf, type Targets } from '../../shared/arithmetic/targets.ts';
import { argmax, type Batch, item } from './engine.ts';

interface Float64Result {
  /** Sum of scale * cross-entropy with the targets over the rows. */
  readonly loss: number;
  /** Number of rows whose largest logit is that of their label; ties go to the lowest class. */
  readonly correct: number;
}

/**
 * The model in float64, row by row, as in a textbook: the oracle for every engine. It reuses its
 * workspace, so calls hardly allocate memory.
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

export function createFloat64Model(model: ModelShape, labelSmoothing = 0): Float64Model {
  const { own, other } = targetsOf(model.classes, labelSmoothing);
  const operations = modelOperations(model);
  const pixels = inputCount(model);
  const widths = [pixels, ...operations.map(outputValues)];
  // values[i] is the input to operation i, and the last entry holds the logits; deltas[i] is the
  // gradient with respect to values[i].
  const values = widths.map((width) => new Float64Array(width));
  const deltas = widths.map((width) => new Float64Array(width));
  const logits = item(values, operations.length);
  const deltaLogits = item(deltas, operations.length);
  // Nothing needs the gradient with respect to the input of the first operation with parameters.
  const first = operations.findIndex((operation) => 'kernelOffset' in operation);

  function forward(
    weights: Floats,
    inputs: Float32Array,
    row: number,
    masks: readonly Float32Array[],
  ): void {
    item(values, 0).set(inputs.subarray(row * pixels, (row + 1) * pixels));
    let dropouts = 0;
    operations.forEach((operation, i) => {
      const to = item(values, i + 1);
      computeLayer(operation, weights, item(values, i), to);
      if (operation.kind === 'dropout') applyMask(operation, masks[dropouts++], row, to);
    });
  }

  function backward(weights: Floats, batch: Batch, row: number, gradient: Float64Array): void {
    let dropouts = batch.masks.length;
    for (let i = operations.length - 1; i >= first; i--) {
      const operation = item(operations, i);
      const [from, to] = [item(values, i), item(values, i + 1)];
      const [behind, delta] = [item(deltas, i), item(deltas, i + 1)];
      const mask = operation.kind === 'dropout' ? batch.masks[--dropouts] : undefined;
      if (isParametric(operation)) {
        throughActivation(operation, to, delta);
        addGradient(operation, from, delta, gradient);
      }
      if (i > first) pullBack({ operation, weights, from, delta, behind, mask, row });
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
        loss += scale * smoothedCrossEntropy(logits, label, { own, other });
        softmax(logits, deltaLogits);
        for (let j = 0; j < deltaLogits.length; j++)
          deltaLogits[j] = ((deltaLogits[j] ?? 0) - (j === label ? own : other)) * scale;
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

/** The sum of -target * log softmax(logits) over the classes. */
function smoothedCrossEntropy(
  logits: Float64Array,
  label: number,
  { own, other }: Targets,
): number {
  const norm = logSumExp(logits);
  let loss = own * (norm - (logits[label] ?? 0));
  if (other === 0) return loss;
  for (let j = 0; j < logits.length; j++)
    if (j !== label) loss += other * (norm - (logits[j] ?? 0));
  return loss;
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

function isParametric(operation: Operation): operation is Convolution | Dense {
  return 'kernelOffset' in operation;
}

function applyMask(
  { units }: Dropout,
  mask: Float32Array | undefined,
  row: number,
  values: Float64Array,
): void {
  if (mask === undefined) return;
  for (let j = 0; j < units; j++) values[j] = (values[j] ?? 0) * (mask[row * units + j] ?? 0);
}

/** Clears the gradient of the values that ReLU clipped. */
function throughActivation(
  { activation }: Convolution | Dense,
  to: Float64Array,
  delta: Float64Array,
): void {
  if (activation === 'linear') return;
  for (let j = 0; j < to.length; j++) if (!((to[j] ?? 0) > 0)) delta[j] = 0;
}

/** gradient of kernel += from * delta for all their products, gradient of bias += delta. */
function addGradient(
  operation: Convolution | Dense,
  from: Float64Array,
  delta: Float64Array,
  gradient: Float64Array,
): void {
  const { biasOffset } = operation;
  const width = operation.kind === 'dense' ? operation.units : operation.to.channels;
  const add = (input: number, weight: number, output: number) => {
    const value = from[input] ?? 0;
    if (value === 0) return;
    for (let j = 0; j < width; j++)
      gradient[weight + j] = (gradient[weight + j] ?? 0) + value * (delta[output + j] ?? 0);
  };
  products(operation, add);
  for (let j = 0; j < delta.length; j++) {
    const at = biasOffset + (j % width);
    gradient[at] = (gradient[at] ?? 0) + (delta[j] ?? 0);
  }
}

/** Calls `visit` for each input value with a row of weights, as `eachTap` does. */
function products(
  operation: Convolution | Dense,
  visit: (input: number, weight: number, output: number) => void,
): void {
  if (operation.kind === 'conv2d') {
    eachTap(operation, visit);
    return;
  }
  const { inputs, units, kernelOffset } = operation;
  for (let i = 0; i < inputs; i++) visit(i, kernelOffset + i * units, 0);
}

interface PullBack {
  readonly operation: Operation;
  readonly weights: Floats;
  readonly from: Float64Array;
  readonly delta: Float64Array;
  /** Receives the gradient with respect to `from`. */
  readonly behind: Float64Array;
  readonly mask: Float32Array | undefined;
  readonly row: number;
}

function pullBack({ operation, weights, from, delta, behind, mask, row }: PullBack): void {
  switch (operation.kind) {
    case 'dropout':
      behind.set(delta);
      applyMask(operation, mask, row, behind);
      return;
    case 'max_pooling2d':
    case 'average_pooling2d':
      pullBackPooling(operation, from, delta, behind);
      return;
    case 'conv2d':
    case 'dense': {
      behind.fill(0);
      const width = operation.kind === 'dense' ? operation.units : operation.to.channels;
      products(operation, (input, weight, output) => {
        let sum = 0;
        for (let j = 0; j < width; j++)
          sum += (weights[weight + j] ?? 0) * (delta[output + j] ?? 0);
        behind[input] = (behind[input] ?? 0) + sum;
      });
    }
  }
}

/** The first of equal values in a window gets the gradient of its maximum. */
function pullBackPooling(
  operation: Pooling,
  from: Float64Array,
  delta: Float64Array,
  behind: Float64Array,
): void {
  behind.fill(0);
  const isMax = operation.kind === 'max_pooling2d';
  eachWindow(operation, (output, cells) => {
    const share = (delta[output] ?? 0) / (isMax ? 1 : cells.length);
    for (const cell of isMax ? [firstLargest(from, cells)] : cells)
      behind[cell] = (behind[cell] ?? 0) + share;
  });
}
