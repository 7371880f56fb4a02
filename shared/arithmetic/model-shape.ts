/**
 * A model as data: what happens to an image, layer by layer, in Keras' terms. A dense layer with
 * one unit per class follows the last of `layers`; it computes the logits. Images have one channel;
 * values are ordered by row, column and channel.
 */
export interface ModelShape {
  /** Rows and columns of an image. */
  readonly rows: number;
  readonly columns: number;
  readonly layers: readonly Layer[];
  readonly classes: number;
}

/** Height and width. */
export type Size = readonly [number, number];
export type Padding = 'valid' | 'same';
export type Activation = 'linear' | 'relu';

export type Layer =
  | {
      readonly kind: 'conv2d';
      readonly filters: number;
      readonly kernel: Size;
      readonly strides: Size;
      readonly padding: Padding;
      readonly activation: Activation;
    }
  | {
      readonly kind: 'max_pooling2d' | 'average_pooling2d';
      readonly pool: Size;
      readonly strides: Size;
      readonly padding: Padding;
    }
  | { readonly kind: 'flatten' }
  | { readonly kind: 'dense'; readonly units: number; readonly activation: Activation }
  | { readonly kind: 'dropout'; readonly rate: number };

/** The shape of a layer's values: an image with channels, or a vector (height and width 1). */
export interface Volume {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/** A window that moves over an image. */
export interface Window {
  readonly size: Size;
  readonly strides: Size;
  /** Rows above and columns left of the image that the first window covers. */
  readonly before: Size;
  readonly padding: Padding;
}

interface Parametric {
  /** Position among the operations of this kind, from 0: it names the tensors in files. */
  readonly index: number;
  /** Position among all operations with parameters, from 0: it selects the random numbers. */
  readonly layer: number;
  /** Offsets of the kernel and the bias in the parameter vector, in floats. */
  readonly kernelOffset: number;
  readonly biasOffset: number;
  readonly activation: Activation;
}

export interface Convolution extends Parametric {
  readonly kind: 'conv2d';
  readonly from: Volume;
  readonly to: Volume;
  readonly window: Window;
}

export interface Dense extends Parametric {
  readonly kind: 'dense';
  readonly inputs: number;
  readonly units: number;
}

export interface Pooling {
  readonly kind: 'max_pooling2d' | 'average_pooling2d';
  readonly from: Volume;
  readonly to: Volume;
  readonly window: Window;
}

export interface Dropout {
  readonly kind: 'dropout';
  /** Position among the dropout layers, from 0: it selects the random numbers. */
  readonly index: number;
  /** Values of a row that the mask is for. */
  readonly units: number;
  readonly rate: number;
}

/** What an engine computes. Flattening changes no value, so it is not an operation. */
export type Operation = Convolution | Dense | Pooling | Dropout;

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Offset in the parameter vector, in floats. */
  readonly offset: number;
  readonly length: number;
}

/** A layer that does not fit; the message completes "layer N (kind) ...". */
export class LayerError extends Error {
  /** Position in `layers`; the length of `layers` is the layer of the logits. */
  readonly layer: number;

  constructor(layer: number, message: string) {
    super(message);
    this.layer = layer;
  }
}

/** What the layers of `modelOperations` share while they are converted. */
interface Progress {
  volume: Volume;
  isFlat: boolean;
  offset: number;
  layer: number;
  readonly counts: Record<'conv2d' | 'dense' | 'dropout', number>;
}

const known = new WeakMap<ModelShape, readonly Operation[]>();

/**
 * The operations of a model in order, with all shapes and offsets. The last one computes the
 * logits. Throws LayerError if a layer does not fit.
 */
export function modelOperations(model: ModelShape): readonly Operation[] {
  const operations = known.get(model) ?? convert(model).flatMap(({ operation }) => operation ?? []);
  known.set(model, operations);
  return operations;
}

/** A layer with the shape of its output and its operation; the last entry computes the logits. */
export interface ConvertedLayer {
  readonly layer: Layer;
  readonly output: Volume;
  readonly isFlat: boolean;
  readonly operation: Operation | undefined;
}

/** All layers of a model, with that of the logits. Throws LayerError. */
export function convert({ rows, columns, layers, classes }: ModelShape): ConvertedLayer[] {
  const progress: Progress = {
    volume: { height: rows, width: columns, channels: 1 },
    isFlat: false,
    offset: 0,
    layer: 0,
    counts: { conv2d: 0, dense: 0, dropout: 0 },
  };
  const logits: Layer = { kind: 'dense', units: classes, activation: 'linear' };
  return [...layers, logits].map((layer, at) => {
    const operation = operationOf(layer, at, progress);
    return { layer, output: progress.volume, isFlat: progress.isFlat, operation };
  });
}

function operationOf(layer: Layer, at: number, progress: Progress): Operation | undefined {
  const { counts, volume: from } = progress;
  switch (layer.kind) {
    case 'flatten':
      progress.volume = { height: 1, width: 1, channels: valuesOf(from) };
      progress.isFlat = true;
      return undefined;
    case 'dropout': {
      const index = counts.dropout++;
      const { rate } = layer;
      return rate === 0 ? undefined : { kind: 'dropout', index, units: valuesOf(from), rate };
    }
    case 'dense': {
      if (!progress.isFlat)
        throw new LayerError(at, 'needs a vector, but gets an image: put a flatten before it');
      const { units, activation } = layer;
      const inputs = from.channels;
      const parametric = parameters(progress, 'dense', inputs * units, units);
      progress.volume = { ...from, channels: units };
      return { kind: 'dense', ...parametric, inputs, units, activation };
    }
    case 'conv2d': {
      const { filters, kernel, strides, padding, activation } = layer;
      const { window, to } = slide(at, progress, { size: kernel, strides, padding }, filters);
      const weights = kernel[0] * kernel[1] * from.channels * filters;
      const parametric = parameters(progress, 'conv2d', weights, filters);
      progress.volume = to;
      return { kind: 'conv2d', ...parametric, from, to, window, activation };
    }
    case 'max_pooling2d':
    case 'average_pooling2d': {
      const { pool, strides, padding } = layer;
      const { window, to } = slide(at, progress, { size: pool, strides, padding }, from.channels);
      progress.volume = to;
      return { kind: layer.kind, from, to, window };
    }
  }
}

/** Assigns the next parameters: a kernel with this number of weights, and a bias. */
function parameters(
  progress: Progress,
  kind: 'conv2d' | 'dense',
  weights: number,
  units: number,
): Omit<Parametric, 'activation'> {
  const kernelOffset = progress.offset;
  const biasOffset = kernelOffset + weights;
  progress.offset = biasOffset + units;
  return { index: progress.counts[kind]++, layer: progress.layer++, kernelOffset, biasOffset };
}

/** Moves a window over the image. "same" pads below and right of it if one more value is needed. */
function slide(
  at: number,
  { volume, isFlat }: Progress,
  { size, strides, padding }: Pick<Window, 'size' | 'strides' | 'padding'>,
  channels: number,
): { window: Window; to: Volume } {
  if (isFlat) throw new LayerError(at, 'needs an image, but gets a vector: put it before flatten');
  const along = (extent: number, axis: 0 | 1): { before: number; extent: number } => {
    const [window, stride] = [size[axis], strides[axis]];
    if (padding === 'same') {
      const steps = Math.ceil(extent / stride);
      const missing = Math.max(0, (steps - 1) * stride + window - extent);
      return { before: Math.floor(missing / 2), extent: steps };
    }
    return { before: 0, extent: Math.floor((extent - window) / stride) + 1 };
  };
  const rows = along(volume.height, 0);
  const columns = along(volume.width, 1);
  if (rows.extent < 1 || columns.extent < 1)
    throw new LayerError(
      at,
      `has a window of ${size.join(' x ')}, larger than its input of ${volume.height} x ` +
        `${volume.width}: use a smaller window, or padding: same`,
    );
  return {
    window: { size, strides, before: [rows.before, columns.before], padding },
    to: { height: rows.extent, width: columns.extent, channels },
  };
}

/** Flatten - [Dense(units, ReLU) - Dropout]*: the default model, without the logits' layer. */
export function denseModel(
  [rows, columns]: Size,
  hidden: readonly number[],
  dropout: number,
  classes: number,
): ModelShape {
  const drop: Layer[] = dropout === 0 ? [] : [{ kind: 'dropout', rate: dropout }];
  const layers = hidden.flatMap((units): Layer[] => [
    { kind: 'dense', units, activation: 'relu' },
    ...drop,
  ]);
  return { rows, columns, layers: [{ kind: 'flatten' }, ...layers], classes };
}

/** The settings of a model that `denseModel` can return; undefined for any other model. */
export function denseSettings({
  layers,
}: Pick<ModelShape, 'layers'>): { hidden: number[]; dropout: number } | undefined {
  const hidden = layers.flatMap((layer) => (layer.kind === 'dense' ? layer.units : []));
  const rate = layers.find((layer) => layer.kind === 'dropout')?.rate ?? 0;
  const same = denseModel([1, 1], hidden, rate, 1).layers;
  return JSON.stringify(same, layerKeys) === JSON.stringify(layers, layerKeys)
    ? { hidden, dropout: rate }
    : undefined;
}

/** The keys that a dense model's layers can have, in a fixed order. */
const layerKeys = ['kind', 'units', 'activation', 'rate', 'filters', 'pool'];

/**
 * Whether the model can be used on images of this size. A model whose first layer flattens the
 * image needs only the number of its pixels.
 */
export function accepts(model: ModelShape, rows: number, columns: number): boolean {
  const { kind } = model.layers[0] ?? {};
  return kind === 'flatten'
    ? rows * columns === inputCount(model)
    : rows === model.rows && columns === model.columns;
}

/** Values per image. */
export function inputCount({ rows, columns }: Pick<ModelShape, 'rows' | 'columns'>): number {
  return rows * columns;
}

export function valuesOf({ height, width, channels }: Volume): number {
  return height * width * channels;
}

/** The number of values that an operation computes for one row. */
export function outputValues(operation: Operation): number {
  switch (operation.kind) {
    case 'dense':
    case 'dropout':
      return operation.units;
    case 'conv2d':
    case 'max_pooling2d':
    case 'average_pooling2d':
      return valuesOf(operation.to);
  }
}

/** The operations with parameters, in order. */
export function parametricOperations(model: ModelShape): (Convolution | Dense)[] {
  return modelOperations(model).filter(
    (operation): operation is Convolution | Dense => 'kernelOffset' in operation,
  );
}

/** The dropout operations, in order: a batch has one mask for each. */
export function dropoutOperations(model: ModelShape): Dropout[] {
  return modelOperations(model).filter((operation) => operation.kind === 'dropout');
}

/** The shape of a kernel, as in Keras: [height, width, in, out] or [in, out]. */
export function kernelShape(operation: Convolution | Dense): number[] {
  return operation.kind === 'dense'
    ? [operation.inputs, operation.units]
    : [...operation.window.size, operation.from.channels, operation.to.channels];
}

/** Units or filters: the number of values in the bias. */
export function biasLength(operation: Convolution | Dense): number {
  return operation.kind === 'dense' ? operation.units : operation.to.channels;
}

/** The number of parameters, called P in other comments: 101,770 for the default model. */
export function parameterCount(model: ModelShape): number {
  const last = parametricOperations(model).at(-1);
  return last === undefined ? 0 : last.biasOffset + biasLength(last);
}

/**
 * Every parameter tensor, with its name in files: `conv2d.0.kernel`, `conv2d.0.bias`,
 * `dense.0.kernel`, ...
 */
export function namedTensors(model: ModelShape): NamedTensor[] {
  return parametricOperations(model).flatMap((operation) => {
    const { kind, index, kernelOffset, biasOffset } = operation;
    return [
      {
        name: `${kind}.${index}.kernel`,
        shape: kernelShape(operation),
        offset: kernelOffset,
        length: biasOffset - kernelOffset,
      },
      {
        name: `${kind}.${index}.bias`,
        shape: [biasLength(operation)],
        offset: biasOffset,
        length: biasLength(operation),
      },
    ];
  });
}
