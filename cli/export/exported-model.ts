import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import {
  biasLength,
  inputCount,
  kernelShape,
  type Convolution,
  type Dense,
} from '../../shared/arithmetic/model-shape.ts';
import { canonicalConfiguration } from '../../shared/configuration.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { MAX_EXPORTED_BYTES } from '../../shared/limits/export.ts';
import type { ModelFile } from '../../shared/files/model-file.ts';
import { modelDigest } from '../../shared/files/own-model.ts';
import { count } from '../../shared/text/number-format.ts';

/** A model to write in another format. */
export interface ExportedModel {
  /** With the rows and columns of the images that it was trained on. */
  readonly model: ModelShape;
  /** P floats, in the layout of shared/arithmetic/model-shape.ts. */
  readonly weights: Float32Array;
  readonly metadata: Metadata;
}

/** What every format contains besides the model. */
export type Metadata = Readonly<Record<string, unknown>>;

/** A file that an export writes. */
export interface ExportedFile {
  /** Path from the folder of the export, with "/". */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** The names of a model's values in the formats that have names for them. */
export const INPUT = 'image';
export const LOGITS = 'logits';
export const PROBABILITIES = 'probabilities';

/** Throws LIMIT, before anything is allocated, if the files of a model would be too large. */
export function checkExportSize(name: string, bytes: number): void {
  if (bytes <= MAX_EXPORTED_BYTES) return;
  throw new ClusterError(
    'LIMIT',
    `the model ${name} has ${count(bytes)} bytes of weights, ` +
      `more than ${count(MAX_EXPORTED_BYTES)} (MAX_EXPORTED_BYTES)`,
    { fix: 'use a smaller model, or read its safetensors file' },
  );
}

/** Where an exported model comes from. */
export interface ExportSource extends ModelFile {
  /** The bytes of model.safetensors. */
  readonly bytes: Uint8Array;
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
}

/**
 * The model with its metadata. Equal models and class names give equal results: nothing depends on
 * when, where or by which version they are exported.
 */
export function exportedModel(source: ExportSource): ExportedModel {
  const { configuration, weights, bytes, step, chain, rows, columns, classNames } = source;
  const model = { ...configuration.model, rows, columns };
  assert(inputCount(model) === inputCount(configuration.model), 'the images have as many pixels');
  const metadata = {
    producer: 'mnist-dist',
    normalization: 'float32(pixel) / 255: 0 is the background, 1 is ink',
    image: { rows, columns, channels: 1 },
    class_names: classNames,
    model_sha256: modelDigest(bytes),
    step,
    chain,
    configuration: JSON.parse(canonicalConfiguration(configuration)) as unknown,
  };
  return { model, weights, metadata };
}

/** The metadata for a format that has only text: everything but text is JSON. */
export function metadataTexts(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [
      key,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}

/** An array of floats with its shape. */
export interface FloatTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The kernel and the bias of a layer, as in Keras: [height, width, in, out] or [in, out]. */
export function parametersOf(
  operation: Convolution | Dense,
  weights: Float32Array,
): { kernel: FloatTensor; bias: FloatTensor } {
  const { kernelOffset, biasOffset } = operation;
  const length = biasLength(operation);
  return {
    kernel: {
      shape: kernelShape(operation),
      data: weights.subarray(kernelOffset, biasOffset),
    },
    bias: { shape: [length], data: weights.subarray(biasOffset, biasOffset + length) },
  };
}

/** The tensor with its axes in another order: axis i of the result is axis `axes[i]`. */
export function transposed({ shape, data }: FloatTensor, axes: readonly number[]): FloatTensor {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const to = axes.map((axis) => ({ size: shape[axis] ?? 1, stride: strides[axis] ?? 1 }));
  const result = new Float32Array(data.length);
  const index = to.map(() => 0);
  let from = 0;
  for (let at = 0; at < result.length; at++) {
    result[at] = data[from] ?? 0;
    for (let axis = to.length - 1; axis >= 0; axis--) {
      const { size, stride } = to[axis] ?? { size: 1, stride: 0 };
      const next = (index[axis] ?? 0) + 1;
      from += stride;
      if (next < size) {
        index[axis] = next;
        break;
      }
      from -= size * stride;
      index[axis] = 0;
    }
  }
  return { shape: to.map(({ size }) => size), data: result };
}

/** The bytes of floats, which are little-endian on every processor that Node supports. */
export function bytesOf({ data }: Pick<FloatTensor, 'data'>): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** JSON as bytes, for people and programs. */
export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, undefined, 2)}\n`);
}
