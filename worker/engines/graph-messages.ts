import { unreachable } from '../../shared/errors.ts';
import type { Attribute, ConstantTensor, ElementType, Graph, GraphNode } from './graph.ts';
import { MessageWriter } from '../../shared/files/protobuf.ts';

// The numbers of fields are those of TensorFlow's *.proto files, named in each function.

/**
 * The GraphDef version of TensorFlow 2.11. Every library that we load knows all of its operations.
 */
const GRAPH_PRODUCER = 1087;

/** The graph as a GraphDef (graph.proto). */
export function graphDefinition(graph: Graph): Uint8Array {
  const writer = new MessageWriter();
  writeGraph(writer, graph);
  return writer.result();
}

/** The fields of a GraphDef. */
export function writeGraph(writer: MessageWriter, graph: Graph): void {
  for (const node of graph.nodes) writer.nested(1, () => writeNode(writer, node));
  writer.nested(4, () => writer.integer(1, GRAPH_PRODUCER));
}

/**
 * Session options, as a ConfigProto (config.proto, rewriter_config.proto), which turn the graph
 * optimizer Grappler off. It takes about half of a graph's first call, makes these graphs slower,
 * and may merge the operations of different shards.
 */
export function sessionOptions(): Uint8Array {
  const writer = new MessageWriter();
  const [graphOptions, rewriteOptions, disableMetaOptimizer] = [10, 10, 19];
  writer.nested(graphOptions, () => {
    writer.nested(rewriteOptions, () => writer.integer(disableMetaOptimizer, 1));
  });
  return writer.result();
}

/** A NodeDef (node_def.proto). */
function writeNode(
  writer: MessageWriter,
  { name, operation, inputs, attributes }: GraphNode,
): void {
  writer.text(1, name);
  writer.text(2, operation);
  for (const input of inputs) writer.text(3, input);
  for (const [key, attribute] of Object.entries(attributes))
    writer.nested(5, () => {
      writer.text(1, key);
      writer.nested(2, () => writeAttribute(writer, attribute));
    });
}

/** An AttrValue (attr_value.proto). */
function writeAttribute(writer: MessageWriter, attribute: Attribute): void {
  if ('type' in attribute) writer.integer(6, typeNumber(attribute.type));
  else if ('boolean' in attribute) writer.integer(5, attribute.boolean ? 1 : 0);
  else if ('integer' in attribute) writer.integer(3, attribute.integer);
  else if ('text' in attribute) writer.text(2, attribute.text);
  else if ('integers' in attribute) {
    const { integers } = attribute;
    writer.nested(1, () => writer.integers(3, integers));
  } else if ('shape' in attribute) writeShape(writer, 7, attribute.shape);
  else writer.nested(8, () => writeTensor(writer, attribute.tensor));
}

/** A TensorProto (tensor.proto). */
function writeTensor(writer: MessageWriter, { type, shape, values }: ConstantTensor): void {
  writer.integer(1, typeNumber(type));
  writeShape(writer, 2, shape);
  // Little-endian, as on every processor that Node supports.
  if (values instanceof Float32Array)
    writer.bytes(4, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  else if (type === 'int32') writer.integers(7, values);
  else writer.floats(5, values);
}

/** A field of type TensorShapeProto (tensor_shape.proto). */
export function writeShape(writer: MessageWriter, field: number, sizes: readonly number[]): void {
  writer.nested(field, () => {
    for (const size of sizes) writer.nested(2, () => writer.integer(1, size));
  });
}

/** A DataType (types.proto). */
export function typeNumber(type: ElementType): number {
  switch (type) {
    case 'float32':
      return 1;
    case 'int32':
      return 3;
    default:
      return unreachable(type);
  }
}
