import {
  convert,
  type Convolution,
  type ConvertedLayer,
  type Dense,
  type Pooling,
  type Volume,
} from '../../shared/arithmetic/model-shape.ts';
import { MessageWriter } from '../../shared/files/protobuf.ts';
import {
  bytesOf,
  INPUT,
  LOGITS,
  metadataTexts,
  parametersOf,
  PROBABILITIES,
  transposed,
  type ExportedModel,
  type FloatTensor,
} from './exported-model.ts';
import { OUT_IN_ROW_COLUMN, paddingAfter } from './channels-first.ts';

// The numbers of fields are those of onnx.proto, which the functions name.

/** Versions of the format and of its operators: those of ONNX 1.12, from June 2022. */
const IR_VERSION = 8;
const OPERATORS = 17;
/** Lengths may exceed 256 MiB. */
const LENGTH_BYTES = 5;
const FLOAT = 1;
/** The name of the axis along which images are counted. */
const BATCH = 'batch';

type OnnxAttribute = number | readonly number[];

interface OnnxNode {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

interface OnnxGraph {
  readonly nodes: OnnxNode[];
  readonly parameters: Map<string, FloatTensor>;
}

/**
 * A ModelProto. Images are [batch, 1, rows, columns]; with one channel, their values have the same
 * order as in Keras' layout.
 */
export function onnxModel({ model, weights, metadata }: ExportedModel): Uint8Array {
  const { rows, columns, classes } = model;
  const graph = graphOf(model, weights);
  const writer = new MessageWriter(LENGTH_BYTES);
  writer.integer(1, IR_VERSION);
  writer.text(2, 'mnist-dist');
  writer.nested(7, () => {
    for (const node of graph.nodes) writer.nested(1, () => writeNode(writer, node));
    writer.text(2, 'mnist-dist');
    for (const [name, tensor] of graph.parameters)
      writer.nested(5, () => writeTensor(writer, name, tensor));
    writer.nested(11, () => writeValue(writer, INPUT, [BATCH, 1, rows, columns]));
    for (const name of [LOGITS, PROBABILITIES])
      writer.nested(12, () => writeValue(writer, name, [BATCH, classes]));
  });
  writer.nested(8, () => {
    writer.text(1, '');
    writer.integer(2, OPERATORS);
  });
  for (const [key, value] of Object.entries(metadataTexts(metadata)))
    writer.nested(14, () => {
      writer.text(1, key);
      writer.text(2, value);
    });
  return writer.result();
}

function graphOf(model: ExportedModel['model'], weights: Float32Array): OnnxGraph {
  const graph: OnnxGraph = { nodes: [], parameters: new Map() };
  const layers = convert(model);
  let from: Volume = { height: model.rows, width: model.columns, channels: 1 };
  let value = INPUT;
  for (const [at, layer] of layers.entries()) {
    const name = at === layers.length - 1 ? LOGITS : `layer_${at}`;
    value = addLayer(graph, layer, { from, value, name }, weights);
    from = layer.output;
  }
  add(graph, 'Softmax', [value], PROBABILITIES, { axis: 1 });
  return graph;
}

interface Place {
  /** The shape of the layer's input. */
  readonly from: Volume;
  readonly value: string;
  /** The name of the layer's output. */
  readonly name: string;
}

/** Adds a layer and returns the name of its output. Dropout does nothing in a prediction. */
function addLayer(
  graph: OnnxGraph,
  { layer, operation }: ConvertedLayer,
  { from, value, name }: Place,
  weights: Float32Array,
): string {
  if (layer.kind === 'flatten') return addFlatten(graph, { from, value, name });
  switch (operation?.kind) {
    case undefined:
    case 'dropout':
      return value;
    case 'max_pooling2d':
      return add(graph, 'MaxPool', [value], name, windowOf(operation));
    case 'average_pooling2d':
      // The mean is that of the image's values, without the padding.
      return add(graph, 'AveragePool', [value], name, {
        ...windowOf(operation),
        count_include_pad: 0,
      });
    case 'conv2d':
    case 'dense':
      return addParametric(graph, operation, { value, name }, weights);
  }
}

function addParametric(
  graph: OnnxGraph,
  operation: Convolution | Dense,
  { value, name }: Pick<Place, 'value' | 'name'>,
  weights: Float32Array,
): string {
  const { kernel, bias } = parametersOf(operation, weights);
  const isDense = operation.kind === 'dense';
  const inputs = [value, `${name}.kernel`, `${name}.bias`];
  graph.parameters.set(`${name}.kernel`, isDense ? kernel : transposed(kernel, OUT_IN_ROW_COLUMN));
  graph.parameters.set(`${name}.bias`, bias);
  const isActive = operation.activation === 'relu';
  const output = isActive ? `${name}.sum` : name;
  if (isDense) add(graph, 'Gemm', inputs, output);
  else add(graph, 'Conv', inputs, output, windowOf(operation));
  return isActive ? add(graph, 'Relu', [output], name) : output;
}

/** Dense kernels expect the values of an image by row, column and channel. */
function addFlatten(graph: OnnxGraph, { from, value, name }: Place): string {
  const { height, width, channels } = from;
  const isOrdered = channels === 1 || height * width === 1;
  const ordered = isOrdered
    ? value
    : add(graph, 'Transpose', [value], `${name}.by_row`, { perm: [0, 2, 3, 1] });
  return add(graph, 'Flatten', [ordered], name, { axis: 1 });
}

/** The attributes of an operator with a window. */
function windowOf({
  from,
  to,
  window,
}: Pick<Pooling, 'from' | 'to' | 'window'>): Readonly<Record<string, OnnxAttribute>> {
  const after = paddingAfter({ from, to, window });
  return {
    kernel_shape: window.size,
    pads: [...window.before, ...after],
    strides: window.strides,
  };
}

function add(
  graph: OnnxGraph,
  operator: string,
  inputs: readonly string[],
  output: string,
  attributes: OnnxNode['attributes'] = {},
): string {
  graph.nodes.push({ operator, inputs, output, attributes });
  return output;
}

/** A NodeProto with AttributeProtos. */
function writeNode(
  writer: MessageWriter,
  { operator, inputs, output, attributes }: OnnxNode,
): void {
  for (const input of inputs) writer.text(1, input);
  writer.text(2, output);
  writer.text(3, output);
  writer.text(4, operator);
  for (const [name, value] of Object.entries(attributes))
    writer.nested(5, () => {
      writer.text(1, name);
      if (typeof value === 'number') writer.integer(3, value);
      else for (const each of value) writer.integer(8, each);
      const [INT, INTS] = [2, 7];
      writer.integer(20, typeof value === 'number' ? INT : INTS);
    });
}

/** A TensorProto. */
function writeTensor(writer: MessageWriter, name: string, tensor: FloatTensor): void {
  for (const size of tensor.shape) writer.integer(1, size);
  writer.integer(2, FLOAT);
  writer.text(8, name);
  writer.bytes(9, bytesOf(tensor));
}

/** A ValueInfoProto of a tensor; an axis with a name has any size. */
function writeValue(
  writer: MessageWriter,
  name: string,
  shape: readonly (string | number)[],
): void {
  writer.text(1, name);
  writer.nested(2, () => {
    writer.nested(1, () => {
      writer.integer(1, FLOAT);
      writer.nested(2, () => {
        for (const size of shape)
          writer.nested(1, () => {
            if (typeof size === 'number') writer.integer(1, size);
            else writer.text(2, size);
          });
      });
    });
  });
}
