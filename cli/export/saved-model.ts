import {
  modelOperations,
  type Convolution,
  type ModelShape,
} from '../../shared/arithmetic/model-shape.ts';
import { needsSecondChannel } from '../../shared/arithmetic/model-size.ts';
import { MessageWriter } from '../../shared/files/protobuf.ts';
import { GraphBuilder, type Graph, type Value } from '../../worker/engines/graph.ts';
import { typeNumber, writeGraph, writeShape } from '../../worker/engines/graph-messages.ts';
import {
  INPUT,
  jsonBytes,
  LOGITS,
  parametersOf,
  PROBABILITIES,
  type ExportedFile,
  type ExportedModel,
  type FloatTensor,
} from './exported-model.ts';

// The numbers of fields are those of TensorFlow's *.proto files, named in each function.

/** Lengths may exceed 256 MiB. */
const LENGTH_BYTES = 5;
/** The only version of the format. */
const SCHEMA_VERSION = 1;
/** The number of images is not fixed. */
const ANY = -1;
const FLOAT = { type: 'float32' } as const;

/**
 * A SavedModel whose weights are constants of its graph. Its extra assets, which TensorFlow leaves
 * to the writer, are the metadata.
 */
export function savedModelFiles({ model, weights, metadata }: ExportedModel): ExportedFile[] {
  const { rows, columns, classes } = model;
  const images = [ANY, rows, columns, 1];
  const writer = new MessageWriter(LENGTH_BYTES);
  // A SavedModel (saved_model.proto) with one MetaGraphDef (meta_graph.proto).
  writer.integer(1, SCHEMA_VERSION);
  writer.nested(2, () => {
    writer.nested(1, () => writer.text(4, 'serve'));
    writer.nested(2, () => writeGraph(writer, graphOf(model, weights, images)));
    writer.nested(5, () => {
      writer.text(1, 'serving_default');
      writer.nested(2, () => {
        writeTensorInfo(writer, 1, INPUT, images);
        for (const name of [LOGITS, PROBABILITIES])
          writeTensorInfo(writer, 2, name, [ANY, classes]);
        writer.text(3, 'tensorflow/serving/predict');
      });
    });
  });
  return [
    { name: 'saved_model.pb', bytes: writer.result() },
    { name: 'assets.extra/metadata.json', bytes: jsonBytes(metadata) },
  ];
}

function graphOf(model: ModelShape, weights: Float32Array, images: readonly number[]): Graph {
  const graph = new GraphBuilder();
  let value = graph.placeholder(INPUT, 'float32', images);
  let isImage = true;
  for (const operation of modelOperations(model)) {
    switch (operation.kind) {
      case 'dropout':
        break;
      case 'max_pooling2d':
      case 'average_pooling2d': {
        const kind = operation.kind === 'max_pooling2d' ? 'MaxPool' : 'AvgPool';
        value = graph.windowed(kind, [value], operation.window);
        break;
      }
      case 'conv2d':
      case 'dense': {
        const { kernel, bias } = parametersOf(operation, weights);
        if (operation.kind === 'dense') {
          if (isImage) value = graph.reshape(value, ANY, operation.inputs);
          isImage = false;
          value = graph.matMul(value, constant(graph, kernel));
        } else value = addConvolution(graph, operation, value, kernel);
        value = graph.binary('BiasAdd', value, constant(graph, bias));
        if (operation.activation === 'relu') value = graph.unary('Relu', value);
      }
    }
  }
  const logits = graph.add('Identity', [value], { T: FLOAT }, LOGITS);
  const probabilities = graph.add('Softmax', [logits], { T: FLOAT }, PROBABILITIES);
  return graph.build([logits, probabilities]);
}

/**
 * On a processor, TensorFlow 2.21 reads values outside some images with one channel (see
 * layer-graph.ts). A second channel with a kernel of zeros avoids that.
 */
function addConvolution(
  graph: GraphBuilder,
  operation: Convolution,
  value: Value,
  kernel: FloatTensor,
): Value {
  if (!needsSecondChannel(operation))
    return graph.windowed('Conv2D', [value, constant(graph, kernel)], operation.window);
  const doubled = graph.concat(3, value, value);
  return graph.windowed('Conv2D', [doubled, constant(graph, twice(kernel))], operation.window);
}

/** A kernel [height, width, 1, out] with a second channel of zeros. */
function twice({ shape: [height = 1, width = 1, , out = 1], data }: FloatTensor): FloatTensor {
  const result = new Float32Array(2 * data.length);
  for (let cell = 0; cell < height * width; cell++)
    result.set(data.subarray(cell * out, (cell + 1) * out), 2 * cell * out);
  return { shape: [height, width, 2, out], data: result };
}

function constant(graph: GraphBuilder, { shape, data }: FloatTensor): Value {
  return graph.constant({ type: 'float32', shape, values: data });
}

/** An entry of a SignatureDef's inputs or outputs: a name with a TensorInfo (meta_graph.proto). */
function writeTensorInfo(
  writer: MessageWriter,
  field: number,
  name: string,
  shape: readonly number[],
): void {
  writer.nested(field, () => {
    writer.text(1, name);
    writer.nested(2, () => {
      writer.text(1, `${name}:0`);
      writer.integer(2, typeNumber('float32'));
      writeShape(writer, 3, shape);
    });
  });
}
