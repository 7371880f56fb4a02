import { rmSync, writeFileSync } from 'node:fs';
import { makeTemporaryFolder, temporaryFileError } from '../../shared/disk/temporary-folder.ts';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { unreachable } from '../../shared/errors.ts';
import { tfjsPackage } from '../native/places.ts';
import type { Attribute, ConstantTensor, ElementType, Graph, GraphNode } from './graph.ts';

/** The tag by which a SavedModel is loaded. */
export const SAVED_MODEL_TAG = 'serve';

/**
 * The GraphDef version of TensorFlow 2.11. Every library that we load knows all of its operations.
 */
const GRAPH_PRODUCER = 1087;

// The part of tfjs-node's protobuf classes that we use (generated JavaScript without declarations).
interface Message {
  serializeBinary(): Uint8Array;
}
interface TensorShape extends Message {
  setDimList(dimensions: readonly Message[]): void;
}
interface Tensor extends Message {
  setDtype(type: number): void;
  setTensorShape(shape: TensorShape): void;
  setIntValList(values: readonly number[]): void;
  setFloatValList(values: readonly number[]): void;
}
interface AttrValue extends Message {
  setType(type: number): void;
  setB(value: boolean): void;
  setI(value: number): void;
  setShape(shape: TensorShape): void;
  setTensor(tensor: Tensor): void;
}
interface NodeDef extends Message {
  setName(name: string): void;
  setOp(operation: string): void;
  setInputList(inputs: readonly string[]): void;
  getAttrMap(): { set(key: string, value: AttrValue): void };
}
interface Protobuf {
  readonly DataType: { readonly DT_FLOAT: number; readonly DT_INT32: number };
  readonly TensorShape: (new () => TensorShape) & {
    readonly Dim: new () => Message & { setSize(size: number): void };
  };
  readonly Tensor: new () => Tensor;
  readonly AttrValue: new () => AttrValue;
  readonly NodeDef: new () => NodeDef;
  readonly VersionDef: new () => Message & { setProducer(version: number): void };
  readonly GraphDef: new () => Message & {
    setNodeList(nodes: readonly NodeDef[]): void;
    setVersions(versions: Message): void;
  };
  readonly MetaGraphDef: (new () => Message & {
    setMetaInfoDef(info: Message): void;
    setGraphDef(graph: Message): void;
  }) & {
    readonly MetaInfoDef: new () => Message & { setTagsList(tags: readonly string[]): void };
  };
  readonly SavedModel: new () => Message & {
    setSavedModelSchemaVersion(version: number): void;
    setMetaGraphsList(graphs: readonly Message[]): void;
  };
}

/**
 * Writes the graph as a SavedModel into a temporary folder, calls `load` with this folder, and then
 * removes the folder: the session that TensorFlow creates needs nothing on disk. There are no
 * variables and no signatures, since the binding runs nodes by name.
 */
export function withSavedModel<T>(graph: Graph, load: (directory: string) => T): T {
  const directory = makeTemporaryFolder('graph');
  try {
    try {
      writeFileSync(join(directory, 'saved_model.pb'), serialize(graph));
    } catch (error) {
      throw temporaryFileError(error);
    }
    return load(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function serialize(graph: Graph): Uint8Array {
  // The cast is necessary because the package's generated classes have no types.
  const pb = createRequire(import.meta.url)(tfjsPackage().protobuf) as Protobuf;
  const versions = new pb.VersionDef();
  versions.setProducer(GRAPH_PRODUCER);
  const definition = new pb.GraphDef();
  definition.setNodeList(graph.nodes.map((node) => nodeDef(pb, node)));
  definition.setVersions(versions);
  const info = new pb.MetaGraphDef.MetaInfoDef();
  info.setTagsList([SAVED_MODEL_TAG]);
  const metaGraph = new pb.MetaGraphDef();
  metaGraph.setMetaInfoDef(info);
  metaGraph.setGraphDef(definition);
  const model = new pb.SavedModel();
  model.setSavedModelSchemaVersion(1);
  model.setMetaGraphsList([metaGraph]);
  return model.serializeBinary();
}

function nodeDef(pb: Protobuf, { name, operation, inputs, attributes }: GraphNode): NodeDef {
  const node = new pb.NodeDef();
  node.setName(name);
  node.setOp(operation);
  node.setInputList(inputs);
  for (const [key, attribute] of Object.entries(attributes))
    node.getAttrMap().set(key, attrValue(pb, attribute));
  return node;
}

function attrValue(pb: Protobuf, attribute: Attribute): AttrValue {
  const value = new pb.AttrValue();
  if ('type' in attribute) value.setType(typeNumber(pb, attribute.type));
  else if ('boolean' in attribute) value.setB(attribute.boolean);
  else if ('integer' in attribute) value.setI(attribute.integer);
  else if ('shape' in attribute) value.setShape(tensorShape(pb, attribute.shape));
  else value.setTensor(tensorProto(pb, attribute.tensor));
  return value;
}

function tensorProto(pb: Protobuf, { type, shape, values }: ConstantTensor): Tensor {
  const tensor = new pb.Tensor();
  tensor.setDtype(typeNumber(pb, type));
  tensor.setTensorShape(tensorShape(pb, shape));
  if (type === 'int32') tensor.setIntValList(values);
  else tensor.setFloatValList(values);
  return tensor;
}

function tensorShape(pb: Protobuf, sizes: readonly number[]): TensorShape {
  const shape = new pb.TensorShape();
  shape.setDimList(
    sizes.map((size) => {
      const dimension = new pb.TensorShape.Dim();
      dimension.setSize(size);
      return dimension;
    }),
  );
  return shape;
}

function typeNumber(pb: Protobuf, type: ElementType): number {
  switch (type) {
    case 'float32':
      return pb.DataType.DT_FLOAT;
    case 'int32':
      return pb.DataType.DT_INT32;
    default:
      return unreachable(type);
  }
}
