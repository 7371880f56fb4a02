import {
  EVALUATION_CHUNK_ROWS,
  MAX_CHUNK_VALUES,
  MAX_PREDICTION_OPERATIONS,
  MAX_PREDICTION_VALUES,
  MAX_SHARD_VALUES,
  MAX_STEP_MULTIPLICATIONS,
} from '../limits/model.ts';
import {
  inputCount,
  modelOperations,
  outputValues,
  valuesOf,
  type Convolution,
  type ModelShape,
  type Operation,
  type Pooling,
} from './model-shape.ts';

/** The numbers of rows that an evaluation chunk can have: divisors of EVALUATION_CHUNK_ROWS. */
const chunkRows = [EVALUATION_CHUNK_ROWS, 250, 100, 50, 25, 10] as const;

/** The number of values that all operations compute for one row, with the row's inputs. */
export function rowValues(model: ModelShape): number {
  return sum(modelOperations(model).map(outputValues)) + inputCount(model);
}

/** Multiplications of one row's forward pass; a training step has three times as many. */
export function rowMultiplications(model: ModelShape): number {
  return sum(modelOperations(model).map(multiplicationsOf));
}

function multiplicationsOf(operation: Operation): number {
  if (operation.kind === 'dense') return operation.inputs * operation.units;
  return operation.kind === 'conv2d' ? coveredValues(operation) * operation.from.channels : 0;
}

/** What the layers without weights do in one row's forward pass: window values, and masks. */
function otherOperations(operation: Operation): number {
  if (operation.kind === 'dropout') return operation.units;
  return 'window' in operation && operation.kind !== 'conv2d' ? coveredValues(operation) : 0;
}

/** The number of values in the windows of all outputs; a window has one channel here. */
function coveredValues({ to, window }: Convolution | Pooling): number {
  const [height, width] = window.size;
  return valuesOf(to) * height * width;
}

/** Whether a model has convolutions or pooling. */
export function hasImages(model: ModelShape): boolean {
  return modelOperations(model).some((operation) => 'window' in operation);
}

/**
 * Whether the engine tensorflow adds a channel of zeros to a convolution's image and kernel; see
 * addConvolution in worker/engines/layer-graph.ts.
 */
export function needsSecondChannel({ from, to, window }: Convolution): boolean {
  const [down, right] = window.strides;
  return from.channels === 1 && to.width === 1 && down !== right;
}

/**
 * The number of rows in one chunk of an evaluation. It is part of the arithmetic. Chunks of a model
 * without convolutions and pooling always have EVALUATION_CHUNK_ROWS rows.
 */
export function evaluationRows(model: ModelShape): number {
  if (!hasImages(model)) return EVALUATION_CHUNK_ROWS;
  const values = rowValues(model);
  return chunkRows.find((rows) => rows * values <= MAX_CHUNK_VALUES) ?? 10;
}

/** Why a step of this model and batch is too large, or undefined; it completes "the model ...". */
export function excessOf(
  model: ModelShape,
  { batchSize, virtualShards }: { readonly batchSize: number; readonly virtualShards: number },
): string | undefined {
  const shardRows = Math.ceil(batchSize / virtualShards);
  const values = shardRows * rowValues(model);
  if (values > MAX_SHARD_VALUES)
    return (
      `computes ${values} values for a shard of ${shardRows} rows, more than ` +
      `${MAX_SHARD_VALUES} (MAX_SHARD_VALUES)`
    );
  const multiplications = 3 * batchSize * rowMultiplications(model);
  if (multiplications > MAX_STEP_MULTIPLICATIONS)
    return (
      `needs ${multiplications} multiplications for a batch of ${batchSize} rows, more than ` +
      `${MAX_STEP_MULTIPLICATIONS} (MAX_STEP_MULTIPLICATIONS)`
    );
  return undefined;
}

/** Why a prediction with this model would be too large, or undefined; completes "the model ...". */
export function predictionExcess(model: ModelShape): string | undefined {
  const values = rowValues(model);
  if (values > MAX_PREDICTION_VALUES)
    return (
      `computes ${values} values for a picture, more than ${MAX_PREDICTION_VALUES} ` +
      '(MAX_PREDICTION_VALUES)'
    );
  const count = rowMultiplications(model) + sum(modelOperations(model).map(otherOperations));
  if (count > MAX_PREDICTION_OPERATIONS)
    return (
      `needs ${count} operations for a picture, more than ${MAX_PREDICTION_OPERATIONS} ` +
      '(MAX_PREDICTION_OPERATIONS)'
    );
  return undefined;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
