import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { graphDefinition, sessionOptions } from '../../../../worker/engines/graph-messages.ts';
import { everyLayerModel } from '../../../fixtures/engine/models.ts';
import { oneHot } from '../../../../shared/arithmetic/targets.ts';
import { gradientGraph } from '../../../../worker/engines/gradient-graph.ts';
import { GraphBuilder } from '../../../../worker/engines/graph.ts';
import type { Graph } from '../../../../worker/engines/graph.ts';

interface Node {
  readonly name: string;
  readonly op: string;
  readonly inputList: readonly string[];
  readonly attrMap: readonly (readonly [string, Readonly<Record<string, unknown>>])[];
}
interface Definition {
  readonly nodeList: readonly Node[];
  readonly versions: { readonly producer: number };
}
interface Protobuf {
  readonly GraphDef: {
    deserializeBinary(bytes: Uint8Array): { toObject(): Definition };
  };
}

/** TensorFlow's own classes for these messages, generated from its *.proto files. */
const { GraphDef } = createRequire(import.meta.url)(
  '@tensorflow/tfjs-node-gpu/dist/proto/api_pb.js',
) as Protobuf;

function decoded(graph: Graph): Definition {
  return GraphDef.deserializeBinary(graphDefinition(graph)).toObject();
}

function attributesOf(definition: Definition, name: string): Map<string, Record<string, unknown>> {
  const node = definition.nodeList.find((one) => one.name === name);
  return new Map(node?.attrMap.map(([key, value]) => [key, { ...value }]));
}

describe("a graph's definition", () => {
  it('has all nodes with their names, operations and inputs, in order', () => {
    const model = everyLayerModel;
    const graph = gradientGraph({ model, shards: 4, rowsPerShard: 8 });
    const { nodeList, versions } = decoded(graph);
    const found = nodeList.map(({ name, op, inputList, attrMap }) => [
      name,
      op,
      inputList,
      attrMap.map(([key]) => key).toSorted(),
    ]);
    const expected = graph.nodes.map(({ name, operation, inputs, attributes }) => [
      name,
      operation,
      inputs,
      Object.keys(attributes).toSorted(),
    ]);
    expect(found).toEqual(expected);
    expect(versions.producer).toBe(1087);
  });

  it('may be larger than the memory reserved for it at first', () => {
    const graph = new GraphBuilder();
    const values = Array.from({ length: 100_000 }, (_, i) => i);
    const large = graph.integers(...values);
    const small = graph.scalar('float32', 1);
    const definition = decoded(graph.build([large, small]));
    expect(attributesOf(definition, large).get('value')).toMatchObject({
      tensor: { intValList: values },
    });
    expect(attributesOf(definition, small).get('value')).toMatchObject({
      tensor: { floatValList: [1] },
    });
  });

  it('has every kind of attribute, and negative, large and fractional values', () => {
    const graph = new GraphBuilder();
    const labels = graph.placeholder('x', 'int32', [300, 70_000]);
    const targets = graph.negativeTargets(labels, 10, oneHot);
    const sum = graph.sum(targets, 0);
    const numbers = graph.integers(0, 127, 128, -1, 2 ** 31 - 1, -(2 ** 31));
    const fraction = graph.scalar('float32', 0.1);
    const floats = Float32Array.of(9, 0.5, -1).subarray(1);
    const weights = graph.constant({ type: 'float32', shape: [2], values: floats });
    const definition = decoded(graph.build([sum, numbers, fraction, weights]));
    const [x, one, axes] = [labels, targets, sum].map((name) => attributesOf(definition, name));
    expect(x?.get('dtype')).toMatchObject({ type: 3 });
    expect(x?.get('shape')).toMatchObject({
      shape: { dimList: [{ size: 300 }, { size: 70_000 }] },
    });
    expect(one?.get('axis')).toMatchObject({ i: -1 });
    expect(one?.get('T')).toMatchObject({ type: 1 });
    expect(axes?.get('keep_dims')).toMatchObject({ b: false });
    expect(attributesOf(definition, numbers).get('value')).toMatchObject({
      tensor: {
        dtype: 3,
        tensorShape: { dimList: [{ size: 6 }] },
        intValList: [0, 127, 128, -1, 2 ** 31 - 1, -(2 ** 31)],
      },
    });
    expect(attributesOf(definition, fraction).get('value')).toMatchObject({
      tensor: { dtype: 1, tensorShape: { dimList: [] }, floatValList: [Math.fround(0.1)] },
    });
    expect(attributesOf(definition, weights).get('value')).toMatchObject({
      tensor: {
        dtype: 1,
        tensorContent: Buffer.of(0, 0, 0, 0x3f, 0, 0, 0x80, 0xbf).toString('base64'),
      },
    });
  });
});

it('the options of a session turn Grappler off, and nothing else', () => {
  // Field 10 (graph_options), 8 bytes long, has field 10 (rewrite_options), 3 bytes long, which has
  // field 19 (disable_meta_optimizer), a varint of 1. A length takes four bytes.
  const expected = [0x52, 0x88, 0x80, 0x80, 0, 0x52, 0x83, 0x80, 0x80, 0, 0x98, 1, 1];
  expect([...sessionOptions()]).toEqual(expected);
});
