import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { BackendWasm, setWasmPaths, version_wasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { assert, ClusterError } from '../../shared/errors.ts';
import {
  biasLength,
  denseModel,
  inputCount,
  modelOperations,
  parameterCount,
  parametricOperations,
  valuesOf,
} from '../../shared/arithmetic/model-shape.ts';
import type { Convolution, Operation } from '../../shared/arithmetic/model-shape.ts';
import { targetsOf } from '../../shared/arithmetic/targets.ts';
import {
  argmax,
  type Batch,
  countCorrect,
  type Engine,
  type EngineShape,
  item,
  processorName,
} from './engine.ts';
import {
  averages,
  averagesGradient,
  maximaGradient,
  maximaOf,
  patchesOf,
  sumOfPatches,
} from './wasm-windows.ts';

/** The parameters of a convolution (as a matrix) or a dense layer. */
interface Parameters {
  readonly kernel: tf.Tensor2D;
  readonly bias: tf.Tensor1D;
}

/** An operation's output, and what its backward pass needs. All tensors are matrices. */
interface Step {
  readonly operation: Operation;
  /** The input, or the patches of a convolution's input. */
  readonly from: tf.Tensor2D;
  readonly to: tf.Tensor2D;
  readonly parameters: Parameters | undefined;
  readonly mask: tf.Tensor2D | undefined;
  /** The positions of the maxima in max pooling. */
  readonly chosen: Int32Array | undefined;
}

/**
 * TensorFlow.js's WebAssembly backend, on one thread with SIMD, without a native library. Forward
 * and backward passes are explicit, for two reasons: the tape of tf.grads costs more than the
 * matrix products at this size, and it multiplies by transposed operands, which this backend does
 * in a scalar loop (four times slower than transposing first). It computes single shards only.
 */
export async function createWasmEngine(shape: EngineShape): Promise<Engine> {
  const backend = await startBackend();
  const { model, evaluationRows, labelSmoothing } = shape;
  const operations = modelOperations(model);
  const pixels = inputCount(model);
  const parameters = parameterCount(model);
  const { own, other } = targetsOf(model.classes, labelSmoothing);

  // A matrix product packs its right operand once per tensor, which takes longer than the product
  // itself. The weights therefore stay uploaded until they change: all shards of a step, and
  // all chunks of an evaluation, share them.
  const known = {
    weights: new Float32Array(parameters),
    tensors: new Map<Operation, Parameters>(),
  };

  function upload(weights: Float32Array): ReadonlyMap<Operation, Parameters> {
    if (known.tensors.size > 0 && bytesOf(weights).equals(bytesOf(known.weights)))
      return known.tensors;
    disposeWeights();
    known.weights.set(weights);
    for (const operation of parametricOperations(model)) {
      const { kernelOffset, biasOffset } = operation;
      const units = biasLength(operation);
      const values = weights.subarray(kernelOffset, biasOffset);
      const kernel = tf.tensor2d(values, [values.length / units, units]);
      const bias = tf.tensor1d(weights.subarray(biasOffset, biasOffset + units));
      known.tensors.set(operation, { kernel: tf.keep(kernel), bias: tf.keep(bias) });
    }
    return known.tensors;
  }

  function disposeWeights(): void {
    for (const { kernel, bias } of known.tensors.values()) tf.dispose([kernel, bias]);
    known.tensors.clear();
  }

  /** A view of the backend's memory, valid until the next operation; dataSync would copy it. */
  function read(tensor: tf.Tensor): Float32Array {
    const view = backend.typedArrayFromHeap(tensor);
    assert(view instanceof Float32Array, 'the tensors contain floats');
    return view;
  }

  /** The outputs of all operations for [rows, inputs] inputs; the last one has the logits. */
  function forward(
    weights: Float32Array,
    inputs: Float32Array,
    rows: number,
    masks: readonly Float32Array[],
  ): Step[] {
    const tensors = upload(weights);
    let value = tf.tensor2d(inputs, [rows, pixels]);
    let dropouts = 0;
    return operations.map((operation): Step => {
      const step = { operation, from: value, parameters: undefined, mask: undefined };
      switch (operation.kind) {
        case 'dropout': {
          const mask = masks[dropouts++];
          const drop = mask === undefined ? undefined : tf.tensor2d(mask, [rows, operation.units]);
          if (drop !== undefined) value = tf.mul(value, drop);
          return { ...step, to: value, mask: drop, chosen: undefined };
        }
        case 'average_pooling2d':
          value = tf.tensor2d(averages(operation, read(value), rows), [
            rows,
            valuesOf(operation.to),
          ]);
          return { ...step, to: value, chosen: undefined };
        case 'max_pooling2d': {
          const { values, positions } = maximaOf(operation, read(value), rows);
          value = tf.tensor2d(values, [rows, valuesOf(operation.to)]);
          return { ...step, to: value, chosen: positions };
        }
        case 'conv2d':
        case 'dense': {
          const own = tensors.get(operation);
          assert(own !== undefined, 'every parametric operation has tensors');
          const from =
            operation.kind === 'dense' ? value : patchesTensor(operation, read(value), rows);
          const sum = tf.add(tf.matMul(from, own.kernel), own.bias);
          const to: tf.Tensor = operation.activation === 'relu' ? tf.relu(sum) : sum;
          value = tf.reshape(to, [rows, to.size / rows]);
          return { ...step, from, to: value, parameters: own, chosen: undefined };
        }
      }
    });
  }

  /** [rows, classes]; this backend's oneHot writes only the integers 0 and 1. */
  function targetRows(labels: Int32Array): Float32Array {
    const rows = new Float32Array(labels.length * model.classes).fill(other);
    labels.forEach((label, row) => {
      if (label >= 0) rows[row * model.classes + label] = own;
    });
    return rows;
  }

  function shardGradient(weights: Float32Array, batch: Batch, out: Float32Array): number {
    const rows = batch.labels.length;
    const steps = forward(weights, batch.inputs, rows, batch.masks);
    const logits = item(steps, steps.length - 1).to;
    const scale = tf.tensor2d(batch.scale, [rows, 1]);
    const targets = tf.tensor2d(targetRows(batch.labels), [rows, model.classes]);

    const losses = tf.mul(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1, true), scale);
    out[parameters] = -(read(tf.sum(losses))[0] ?? 0);
    let delta: tf.Tensor2D = tf.mul(tf.sub(tf.softmax(logits), targets), scale);
    const first = steps.findIndex((step) => step.parameters !== undefined);
    for (let i = steps.length - 1; i >= first; i--) {
      const step = item(steps, i);
      const { operation, to } = step;
      if ('kernelOffset' in operation) {
        if (operation.activation === 'relu') delta = tf.mul(delta, tf.step(to));
        const matrix: tf.Tensor2D = tf.reshape(delta, [-1, biasLength(operation)]);
        out.set(read(tf.matMul(tf.transpose(step.from), matrix)), operation.kernelOffset);
        out.set(read(tf.sum(matrix, 0)), operation.biasOffset);
      }
      if (i > first) delta = inputGradient(step, delta, rows);
    }
    return countCorrect(read(logits), batch.labels, model.classes);
  }

  /** The gradient of a step's input, from that of its output before the activation. */
  function inputGradient(step: Step, delta: tf.Tensor2D, rows: number): tf.Tensor2D {
    const { operation, parameters: own, mask, chosen } = step;
    switch (operation.kind) {
      case 'dropout':
        return mask === undefined ? delta : tf.mul(delta, mask);
      case 'average_pooling2d':
        return tf.tensor2d(averagesGradient(operation, read(delta), rows), [
          rows,
          valuesOf(operation.from),
        ]);
      case 'max_pooling2d': {
        assert(chosen !== undefined, 'max pooling keeps the positions of its maxima');
        const images = maximaGradient(operation, chosen, read(delta), rows);
        return tf.tensor2d(images, [rows, valuesOf(operation.from)]);
      }
      case 'conv2d':
      case 'dense': {
        assert(own !== undefined, 'every parametric operation has tensors');
        const matrix: tf.Tensor2D = tf.reshape(delta, [-1, biasLength(operation)]);
        const behind: tf.Tensor2D = tf.matMul(matrix, tf.transpose(own.kernel));
        if (operation.kind === 'dense') return behind;
        const images = sumOfPatches(operation, read(behind), rows);
        return tf.tensor2d(images, [rows, valuesOf(operation.from)]);
      }
    }
  }

  function predict(
    weights: Float32Array,
    inputs: Float32Array,
    labels: Int32Array,
    out: Float32Array,
  ): void {
    const steps = forward(weights, inputs, evaluationRows, []);
    const logits = item(steps, steps.length - 1).to;
    const logSoftmax = tf.logSoftmax(logits);
    const softmax = tf.softmax(logits);
    const values = read(logits);
    const logProbabilities = read(logSoftmax);
    const probabilities = read(softmax);
    const width = 2 + model.classes;
    for (let row = 0; row < evaluationRows; row++) {
      const start = row * model.classes;
      const label = labels[row] ?? -1;
      out[row * width] = argmax(values, start, model.classes);
      out[row * width + 1] = label < 0 ? 0 : -(logProbabilities[start + label] ?? 0);
      out.set(probabilities.subarray(start, start + model.classes), row * width + 2);
    }
  }

  return {
    description: {
      kind: 'wasm',
      library: `tfjs-backend-wasm ${version_wasm}, SIMD`,
      device: 'cpu',
      processor: processorName(),
      threads: 1,
    },
    // The callback of tf.tidy must not return a typed array, because tf.tidy would visit every
    // element.
    partialSum(weights, batch, out) {
      let correct = 0;
      tf.tidy(() => void (correct = shardGradient(weights, batch, out)));
      return correct;
    },
    predict(weights, inputs, labels, out) {
      tf.tidy(() => predict(weights, inputs, labels, out));
    },
    tensorCount: () => tf.memory().numTensors,
    dispose: disposeWeights,
  };
}

/** The patches of a convolution's input, one per row of the matrix. */
function patchesTensor(operation: Convolution, images: Float32Array, rows: number): tf.Tensor2D {
  const patches = patchesOf(operation, images, rows);
  const places = rows * operation.to.height * operation.to.width;
  return tf.tensor2d(patches, [places, patches.length / places]);
}

function bytesOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}

/** Starts this process's backend, whose binaries are next to the package's entry point. */
async function startBackend(): Promise<BackendWasm> {
  const entry = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm');
  // setWasmPaths throws once the backend has started, which it has if this is the second engine.
  if (tf.getBackend() !== 'wasm') setWasmPaths(`${dirname(entry)}/`);
  // With threads, the bytes would depend on the number of cores. Threads do not work in Node
  // anyway.
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  if (!(await tf.setBackend('wasm')))
    throw new ClusterError(
      'ENGINE',
      'the engine "wasm" could not be loaded; the lines above give the reason',
      {
        fix:
          'if the system refused it memory, run: ulimit -v unlimited (each engine reserves 10 GB ' +
          'of address space)',
      },
    );
  const backend = tf.backend();
  if (backend instanceof BackendWasm && (await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')) === true)
    return backend;
  throw new ClusterError(
    'ENGINE',
    'the engine "wasm" needs WebAssembly with SIMD, which this Node does not have',
    {
      fix: 'use Node 20.19 or newer on a processor with SSE4.1 or NEON, or `--engine tensorflow`',
    },
  );
}

/**
 * Tries the engine on a tiny model. Resolves with the library's name and version; rejects if the
 * engine does not work.
 */
export async function tryWasm(): Promise<string> {
  const model = denseModel([2, 2], [2], 0, 2);
  const shape = { model, rowsPerShard: 1, shardCounts: [1], evaluationRows: 1 };
  const engine = await createWasmEngine(shape);
  const out = new Float32Array(4);
  engine.predict(new Float32Array(16), new Float32Array(4), new Int32Array(1), out);
  engine.dispose();
  // All weights are zero, so both classes have the same probability.
  if (out[2] !== 0.5 || out[3] !== 0.5)
    throw new Error(`the engine predicts ${out.join()}, not 0,..,0.5,0.5`);
  return engine.description.library;
}
