import { unreachable } from '../../shared/errors.ts';
import type { Attribute, ConstantTensor, ElementType, Graph, GraphNode } from './graph.ts';
import { floats, integer, integers, message, nested } from './protobuf.ts';

// The numbers of fields are those of TensorFlow's *.proto files, named in each function.

/**
 * The GraphDef version of TensorFlow 2.11. Every library that we load knows all of its operations.
 */
const GRAPH_PRODUCER = 1087;

/** The graph as a GraphDef (graph.proto). */
export function graphDefinition(graph: Graph): Uint8Array {
  const versions = message(integer(1, GRAPH_PRODUCER));
  return message(
    ...graph.nodes.map((node) => nested(1, nodeDefinition(node))),
    nested(4, versions),
  );
}

/**
 * Session options, as a ConfigProto (config.proto, rewriter_config.proto), which turn the graph
 * optimizer Grappler off. It takes longer than everything else that happens to a graph at start-up,
 * makes these graphs slower, and may merge the operations of different shards.
 */
export function sessionOptions(): Uint8Array {
  const disableMetaOptimizer = integer(19, 1);
  const rewriteOptions = nested(10, message(disableMetaOptimizer));
  const graphOptions = nested(10, message(rewriteOptions));
  return message(graphOptions);
}

/** A NodeDef (node_def.proto). */
function nodeDefinition({ name, operation, inputs, attributes }: GraphNode): Uint8Array {
  return message(
    nested(1, name),
    nested(2, operation),
    ...inputs.map((input) => nested(3, input)),
    ...Object.entries(attributes).map(([key, attribute]) =>
      nested(5, message(nested(1, key), nested(2, attributeValue(attribute)))),
    ),
  );
}

/** An AttrValue (attr_value.proto). */
function attributeValue(attribute: Attribute): Uint8Array {
  if ('type' in attribute) return message(integer(6, typeNumber(attribute.type)));
  if ('boolean' in attribute) return message(integer(5, attribute.boolean ? 1 : 0));
  if ('integer' in attribute) return message(integer(3, attribute.integer));
  if ('shape' in attribute) return message(nested(7, tensorShape(attribute.shape)));
  return message(nested(8, tensor(attribute.tensor)));
}

/** A TensorProto (tensor.proto). */
function tensor({ type, shape, values }: ConstantTensor): Uint8Array {
  return message(
    integer(1, typeNumber(type)),
    nested(2, tensorShape(shape)),
    type === 'int32' ? integers(7, values) : floats(5, values),
  );
}

/** A TensorShapeProto (tensor_shape.proto). */
function tensorShape(sizes: readonly number[]): Uint8Array {
  return message(...sizes.map((size) => nested(2, message(integer(1, size)))));
}

/** A DataType (types.proto). */
function typeNumber(type: ElementType): number {
  switch (type) {
    case 'float32':
      return 1;
    case 'int32':
      return 3;
    default:
      return unreachable(type);
  }
}
