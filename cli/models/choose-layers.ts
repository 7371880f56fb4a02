import { readNamedNow } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { denseModel, type Layer, type ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { excessOf } from '../../shared/arithmetic/model-size.ts';
import { problemOf } from '../../shared/model-schema.ts';
import { MAX_MODEL_DESCRIPTION_BYTES } from '../../shared/limits/model.ts';
import { nearest } from '../options/suggest.ts';
import { modelNames } from './model-names.ts';
import { parseModel } from './parse-model.ts';

/**
 * The environment variable in which `local` passes the text of the model file to its coordinator,
 * because a pipe can be read only once.
 */
export const MODEL_TEXT = 'MNIST_DIST_INTERNAL_MODEL';

/** The convolutional network of Keras' example mnist_convnet. */
const convnet: readonly Layer[] = [32, 64]
  .flatMap((filters): Layer[] => [
    {
      kind: 'conv2d',
      filters,
      kernel: [3, 3],
      strides: [1, 1],
      padding: 'valid',
      activation: 'relu',
    },
    { kind: 'max_pooling2d', pool: [2, 2], strides: [2, 2], padding: 'valid' },
  ])
  .concat({ kind: 'flatten' }, { kind: 'dropout', rate: 0.5 });

export interface ModelOptions {
  readonly model: string | undefined;
  readonly hidden: readonly number[];
  readonly dropout: number;
}

/** The layers that the options choose; they may not fit an image yet. */
export interface ChosenLayers {
  /** The name of the model, or of its file. */
  readonly name: string;
  readonly layers: readonly Layer[];
  /** The text of the file; undefined for a model with a name. */
  readonly text: string | undefined;
  /** The line of each layer in the file; empty for a model with a name. */
  readonly lines: readonly number[];
}

/** Reads the model file if the options name one. Throws USAGE if it is not a list of layers. */
export function chooseLayers(
  { model: name = 'mlp', hidden, dropout }: ModelOptions,
  environment: NodeJS.ProcessEnv = process.env,
): ChosenLayers {
  const known = { name, text: undefined, lines: [] };
  if (name === 'mlp') return { ...known, layers: denseModel([1, 1], hidden, dropout, 1).layers };
  if (name === 'convnet') return { ...known, layers: convnet };
  const text = environment[MODEL_TEXT] ?? readText(name);
  return { name, text, ...parseModel(text, name) };
}

/**
 * The model with these layers for images of this size. Throws USAGE if a layer does not fit, with
 * its line.
 */
export function modelFor(
  { name, layers, lines }: Pick<ChosenLayers, 'name' | 'layers' | 'lines'>,
  { rows, columns, classes }: Pick<ModelShape, 'rows' | 'columns' | 'classes'>,
): ModelShape {
  const model = { rows, columns, layers, classes };
  const problem = problemOf(model);
  if (problem === undefined) return model;
  const line = lines[problem.layer];
  const kind = layers[problem.layer]?.kind;
  const layer =
    kind === undefined
      ? `the last layer (dense ${classes}, one unit per class)`
      : `layer ${problem.layer + 1} (${kind})`;
  // The fix may contain a colon as well.
  const [, what = problem.message, fix] = /^([^]*?): ([^]*)$/.exec(problem.message) ?? [];
  throw new ClusterError(
    'USAGE',
    `${line === undefined ? name : `${name}:${line}`}: ${layer} ${what}`,
    fix === undefined ? {} : { fix },
  );
}

/** Throws LIMIT, before anything is allocated, if a step of the model would be too large. */
export function checkExcess(
  model: ModelShape,
  batch: { readonly batchSize: number; readonly virtualShards: number },
): void {
  const excess = excessOf(model, batch);
  if (excess === undefined) return;
  throw new ClusterError('LIMIT', `the model ${excess}`, {
    fix: 'use a smaller model or --batch-size, or more --virtual-shards',
  });
}

function readText(file: string): string {
  const limit = { name: 'MAX_MODEL_DESCRIPTION_BYTES', bytes: MAX_MODEL_DESCRIPTION_BYTES };
  let bytes: Uint8Array;
  try {
    ({ bytes } = readNamedNow(file, limit));
  } catch (error) {
    const name = nearest(file, modelNames);
    throw new ClusterError('USAGE', `--model ${file} cannot be read: ${messageOf(error)}`, {
      fix:
        `${name === undefined ? '' : `did you mean ${name}? `}Allowed: ` +
        `${modelNames.join(', ')}, or a YAML file with a list of layers`,
      cause: error,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new ClusterError('USAGE', `${file}: not UTF-8`, {
      fix: 'save the file as UTF-8',
      cause: error,
    });
  }
}
