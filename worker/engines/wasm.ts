import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { BackendWasm, setWasmPaths, version_wasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { ClusterError } from '../../shared/errors.ts';
import { denseLayers, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { DenseLayer } from '../../shared/arithmetic/model-shape.ts';
import {
  argmax,
  type Batch,
  countCorrect,
  type Engine,
  type EngineShape,
  item,
  processorName,
} from './engine.ts';

interface LayerTensors {
  readonly layer: DenseLayer;
  readonly kernel: tf.Tensor2D;
  readonly bias: tf.Tensor1D;
}

/**
 * TensorFlow.js's WebAssembly backend, on one thread with SIMD, without a native library. Forward
 * and backward passes are explicit, for two reasons: the tape of tf.grads costs more than the
 * matrix products at this size, and it multiplies by transposed operands, which this backend does
 * in a scalar loop (four times slower than transposing first). It computes single shards only.
 */
export async function createWasmEngine(shape: EngineShape): Promise<Engine> {
  const backend = await startBackend();
  const { model, evaluationRows } = shape;
  const layers = denseLayers(model);
  const parameters = parameterCount(model);

  // A matrix product packs its right operand once per tensor, which takes longer than the product
  // itself. The weights therefore stay uploaded until they change: all shards of a step, and
  // all chunks of an evaluation, share them.
  const known = { weights: new Float32Array(parameters), tensors: [] as readonly LayerTensors[] };

  function upload(weights: Float32Array): readonly LayerTensors[] {
    if (known.tensors.length > 0 && bytesOf(weights).equals(bytesOf(known.weights)))
      return known.tensors;
    disposeWeights();
    known.weights.set(weights);
    known.tensors = layers.map((layer) => {
      const { inputs, units, kernelOffset, biasOffset } = layer;
      const kernel = tf.tensor2d(weights.subarray(kernelOffset, biasOffset), [inputs, units]);
      const bias = tf.tensor1d(weights.subarray(biasOffset, biasOffset + units));
      return { layer, kernel: tf.keep(kernel), bias: tf.keep(bias) };
    });
    return known.tensors;
  }

  function disposeWeights(): void {
    for (const { kernel, bias } of known.tensors) tf.dispose([kernel, bias]);
    known.tensors = [];
  }

  /** A view of the backend's memory, valid until the next operation; dataSync would copy it. */
  function read(tensor: tf.Tensor): tf.backend_util.TypedArray {
    return backend.typedArrayFromHeap(tensor);
  }

  function shardGradient(weights: Float32Array, batch: Batch, out: Float32Array): number {
    const rows = batch.labels.length;
    const tensors = upload(weights);
    const x = tf.tensor2d(batch.inputs, [rows, model.inputs]);
    const masks = batch.masks.map((mask) => tf.tensor2d(mask, [rows, mask.length / rows]));
    const scale = tf.tensor2d(batch.scale, [rows, 1]);
    // A label of -1 gives a row of zeros. The cast is needed because this backend's oneHot always
    // writes integers.
    const labels = tf.cast(tf.oneHot(tf.tensor1d(batch.labels, 'int32'), model.classes), 'float32');
    const { inputsOf, logits } = forward(tensors, x, masks);

    const losses = tf.mul(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), 1, true), scale);
    out[parameters] = -(read(tf.sum(losses))[0] ?? 0);
    let delta: tf.Tensor = tf.mul(tf.sub(tf.softmax(logits), labels), scale);
    for (let l = layers.length - 1; l >= 0; l--) {
      const { layer, kernel } = item(tensors, l);
      const input = item(inputsOf, l);
      out.set(read(tf.matMul(tf.transpose(input), delta)), layer.kernelOffset);
      out.set(read(tf.sum(delta, 0)), layer.biasOffset);
      if (l === 0) break;
      const mask = masks[l - 1];
      const behind = tf.matMul(delta, tf.transpose(kernel));
      // An input is above 0 only if it passed both ReLU and dropout.
      delta = tf.mul(mask === undefined ? behind : tf.mul(behind, mask), tf.step(input));
    }
    return countCorrect(read(logits), batch.labels, model.classes);
  }

  function predict(
    weights: Float32Array,
    inputs: Float32Array,
    labels: Int32Array,
    out: Float32Array,
  ): void {
    const x = tf.tensor2d(inputs, [evaluationRows, model.inputs]);
    const logits = forward(upload(weights), x, []).logits;
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

/** The logits, and the inputs of all layers. */
function forward(
  tensors: readonly LayerTensors[],
  x: tf.Tensor2D,
  masks: readonly tf.Tensor2D[],
): { inputsOf: tf.Tensor[]; logits: tf.Tensor } {
  const inputsOf: tf.Tensor[] = [x];
  let value: tf.Tensor = x;
  tensors.forEach(({ kernel, bias }, l) => {
    value = tf.add(tf.matMul(value, kernel), bias);
    if (l === tensors.length - 1) return;
    const mask = masks[l];
    value = mask === undefined ? tf.relu(value) : tf.mul(tf.relu(value), mask);
    inputsOf.push(value);
  });
  return { inputsOf, logits: value };
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
  const model = { inputs: 4, hidden: [2], classes: 2 };
  const shape = { model, rowsPerShard: 1, shardCounts: [1], hasDropout: false, evaluationRows: 1 };
  const engine = await createWasmEngine(shape);
  const out = new Float32Array(4);
  engine.predict(new Float32Array(16), new Float32Array(4), new Int32Array(1), out);
  engine.dispose();
  // All weights are zero, so both classes have the same probability.
  if (out[2] !== 0.5 || out[3] !== 0.5)
    throw new Error(`the engine predicts ${out.join()}, not 0,..,0.5,0.5`);
  return engine.description.library;
}
