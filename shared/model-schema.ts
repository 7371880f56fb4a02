import { z } from 'zod';
import { MAX_CLASSES, MAX_INPUTS } from './limits.ts';
import * as limits from './limits/model.ts';
import {
  convert,
  denseModel,
  LayerError,
  type ModelShape,
  type Size,
} from './arithmetic/model-shape.ts';

const cells = z.int().min(1).max(limits.MAX_WINDOW_CELLS);
const size = z.tuple([cells, cells]).readonly();
const padding = z.enum(['valid', 'same']);
const activation = z.enum(['linear', 'relu']);
const units = z.int().min(1).max(limits.MAX_LAYER_UNITS);
const rate = z.number().min(0).lt(1);
const pooling = { pool: size, strides: size, padding };

export const layerSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('conv2d'),
    filters: z.int().min(1).max(limits.MAX_FILTERS),
    kernel: size,
    strides: size,
    padding,
    activation,
  }),
  z.strictObject({ kind: z.literal('max_pooling2d'), ...pooling }),
  z.strictObject({ kind: z.literal('average_pooling2d'), ...pooling }),
  z.strictObject({ kind: z.literal('flatten') }),
  z.strictObject({ kind: z.literal('dense'), units, activation }),
  z.strictObject({ kind: z.literal('dropout'), rate }),
]);

const pixels = z.int().min(1).max(MAX_INPUTS);
const classes = z.int().min(2).max(MAX_CLASSES);

/** A model, with layers that fit each other. */
export const modelSchema = z
  .strictObject({
    rows: pixels,
    columns: pixels,
    layers: z.array(layerSchema).max(limits.MAX_LAYERS).readonly(),
    classes,
  })
  .superRefine((model, context) => {
    const problem =
      model.rows * model.columns > MAX_INPUTS
        ? new LayerError(0, `gets images of more than ${MAX_INPUTS} pixels (MAX_INPUTS)`)
        : problemOf(model);
    if (problem === undefined) return;
    const kind = model.layers[problem.layer]?.kind ?? 'dense';
    context.addIssue({
      code: 'custom',
      message: `layer ${problem.layer + 1} (${kind}) ${problem.message}`,
      path: ['layers'],
    });
  });

/** The first layer that does not fit, if there is one. */
export function problemOf(model: ModelShape): LayerError | undefined {
  try {
    convert(model);
    return undefined;
  } catch (error) {
    if (error instanceof LayerError) return error;
    throw error;
  }
}

/** How versions before arithmetic 2 wrote a model: its widths, with the dropout elsewhere. */
const denseRecord = z.strictObject({
  inputs: pixels,
  hidden: z.array(units).min(1).max(limits.MAX_HIDDEN_LAYERS),
  classes,
});

/**
 * Converts a record of an older version, with `model: {inputs, hidden, classes}` and `dropout`, and
 * leaves any other value alone. The images' rows and columns were not recorded, but a dense model
 * does not depend on them: they are square if possible, and otherwise one row.
 */
export function withLayers(record: unknown): unknown {
  if (typeof record !== 'object' || record === null || !('model' in record)) return record;
  const model = denseRecord.safeParse(record.model);
  if (!model.success) return record;
  const { dropout: dropped, ...rest } = { dropout: 0 as unknown, ...record };
  const dropout = rate.safeParse(dropped);
  if (!dropout.success) return record;
  const { inputs, hidden, classes: count } = model.data;
  const side = Math.sqrt(inputs);
  const image: Size = Number.isInteger(side) ? [side, side] : [1, inputs];
  return { ...rest, model: denseModel(image, hidden, dropout.data, count) };
}
