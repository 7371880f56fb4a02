import { MNIST_SHAPE } from '../../shared/dataset/dataset.ts';
import { loadDataset } from '../../shared/dataset/load-dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import { convert, namedTensors, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { ConvertedLayer, ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { count } from '../../shared/text/number-format.ts';
import { chooseLayers, modelFor } from '../models/choose-layers.ts';
import { isDescription } from '../models/model-names.ts';
import type { CommandLine, ModelOptions } from '../options/options.ts';
import { stdout } from '../terminal/output.ts';
import { padLeft, padRight } from '../terminal/columns.ts';

/** `mnist-dist model`: prints a summary of a model, in the form that Keras users know. */
export async function model(
  { data, model: given, hidden, dropout, imageSize, testSplit }: ModelOptions,
  { operands: [operand], flags }: Pick<CommandLine, 'operands' | 'flags'>,
): Promise<number> {
  // A file or an environment that other commands use too may name a model to predict with, or
  // describe an mlp to train.
  const isMeant = given !== undefined && (flags.has('model') || isDescription(given));
  const name = operand ?? (isMeant ? given : undefined);
  if (name !== undefined && name !== 'mlp' && (flags.has('hidden') || flags.has('dropout')))
    throw new ClusterError('USAGE', `--hidden and --dropout are only for mlp, not for ${name}`, {
      fix: 'remove them',
    });
  const chosen = chooseLayers({ model: name, hidden, dropout });
  const image = data === undefined ? undefined : await loadDataset(data, { imageSize, testSplit });
  const { rows, columns } = image ?? MNIST_SHAPE;
  const classes = image?.classNames.length ?? MNIST_SHAPE.classes;
  stdout.write(...summaryLines(chosen.name, modelFor(chosen, { rows, columns, classes })));
  return 0;
}

/** The lines of the summary: layers, shapes, parameters, and the bytes of a step. */
export function summaryLines(name: string, shape: ModelShape): string[] {
  const { rows, columns, classes } = shape;
  const lengths = new Map(namedTensors(shape).map((tensor) => [tensor.name, tensor.length]));
  const counts = new Map<string, number>();
  const table = convert(shape).map((layer) => {
    const { kind } = layer.layer;
    const index = counts.get(kind) ?? 0;
    counts.set(kind, index + 1);
    const own = `${kind}.${index}`;
    const parameters = (lengths.get(`${own}.kernel`) ?? 0) + (lengths.get(`${own}.bias`) ?? 0);
    return [`${own} (${kind})`, shapeText(layer), count(parameters)] as const;
  });
  const heading = ['Layer (kind)', 'Output shape', 'Parameters'] as const;
  const all = [heading, ...table];
  const width = (column: 0 | 1 | 2) => Math.max(...all.map((cells) => cells[column].length));
  const lines = all.map(([layer, output, parameters]) =>
    [padRight(layer, width(0)), padRight(output, width(1)), padLeft(parameters, width(2))].join(
      '  ',
    ),
  );
  const total = parameterCount(shape);
  return [
    `Model ${name} for images of ${rows} x ${columns} pixels in ${classes} classes`,
    '',
    ...lines,
    '',
    `Total parameters: ${count(total)} (${count(4 * total)} bytes)`,
    `A step sends ${count(4 * total)} bytes of weights to each worker, and ` +
      `${count(4 * (total + 1))} bytes`,
    'of gradients per subtree back: one subtree per worker if their number is a power of two.',
  ];
}

function shapeText({ output, isFlat }: ConvertedLayer): string {
  const { height, width, channels } = output;
  return isFlat ? String(channels) : `${height} x ${width} x ${channels}`;
}
