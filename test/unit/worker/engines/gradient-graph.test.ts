import { describe, expect, it } from 'vitest';
import { gradientGraph } from '../../../../worker/engines/gradient-graph.ts';
import { conv2d, convnetModel } from '../../../fixtures/engine/models.ts';
import { denseModel, type ModelShape } from '../../../../shared/arithmetic/model-shape.ts';
import type { Graph } from '../../../../worker/engines/graph.ts';

const model = denseModel([28, 28], [128, 64], 0.2, 10);

function graphOf(shards: number): Graph {
  return gradientGraph({ model, shards, rowsPerShard: 8 });
}

function countOf({ nodes }: Graph, operation: string): number {
  return nodes.filter((node) => node.operation === operation).length;
}

describe('the graph of a subtree with images', () => {
  const imageGraph = (shards: number) =>
    gradientGraph({ model: convnetModel, shards, rowsPerShard: 8 });

  it('has operations of their own for each shard', () => {
    for (const [operation, count] of [
      ['Conv2D', 2],
      ['Conv2DBackpropFilter', 2],
      // Nothing needs the gradient of the images.
      ['Conv2DBackpropInput', 1],
      ['MaxPool', 2],
      ['MaxPoolGrad', 2],
      ['ReluGrad', 2],
      ['BiasAdd', 3],
    ] as const)
      for (const shards of [1, 2, 8])
        expect(countOf(imageGraph(shards), operation)).toBe(count * shards);
  });

  it('does not contain the zeros of a second channel, which begin with their shard', () => {
    const narrow: ModelShape = {
      rows: 28,
      columns: 28,
      classes: 3,
      layers: [conv2d(1, [2, 28], { strides: [2, 1] }), { kind: 'flatten' }],
    };
    const { nodes } = gradientGraph({ model: narrow, shards: 2, rowsPerShard: 8192 });
    const zeros = nodes.filter(({ operation }) => operation === 'Fill');
    expect(zeros).toHaveLength(4);
    for (const { inputs } of zeros) expect(inputs[2]).toMatch(/^\^/);
    for (const { attributes } of nodes)
      for (const attribute of Object.values(attributes))
        if ('tensor' in attribute) expect(attribute.tensor.values.length).toBeLessThan(5);
  });

  it('begins each shard when the sum before it is complete', () => {
    const waiting = imageGraph(4).nodes.filter(({ operation }) => operation === 'Identity');
    expect(waiting.map(({ inputs }) => inputs[1]?.[0])).toEqual(['^', '^', '^']);
  });
});

describe('the graph of a subtree', () => {
  it.each([1, 2, 4, 8])(
    'of %d shards has an operation per shard where rows can matter',
    (shards) => {
      const graph = graphOf(shards);
      // Three layers: three products forward, two backward, three for the kernels' gradients.
      expect(countOf(graph, 'MatMul')).toBe(8 * shards);
      expect(countOf(graph, 'LogSoftmax')).toBe(shards);
      expect(countOf(graph, 'Exp')).toBe(shards);
      // Three biases and the loss.
      expect(countOf(graph, 'Sum')).toBe(4 * shards);
    },
  );

  it('has one operation for all rows where each element is computed on its own', () => {
    for (const operation of ['BiasAdd', 'Relu', 'ReluGrad', 'Mul', 'OneHot'])
      expect(countOf(graphOf(8), operation)).toBe(countOf(graphOf(1), operation));
  });

  it('has -1 and +0 as targets without label smoothing, which changes nothing else', () => {
    const shape = { model, shards: 2, rowsPerShard: 8 };
    const smoothed = gradientGraph({ ...shape, labelSmoothing: 0.1 });
    const constantsOf = ({ nodes }: Graph) => {
      const { inputs = [] } = nodes.find(({ operation }) => operation === 'OneHot') ?? {};
      return inputs.slice(2).map((name) => nodes.find((node) => node.name === name)?.attributes);
    };
    const constant = (value: number) => ({
      dtype: { type: 'float32' },
      value: { tensor: { type: 'float32', shape: [], values: [value] } },
    });
    const plain = gradientGraph(shape);
    expect(constantsOf(plain)).toEqual([constant(-1), constant(0)]);
    expect(constantsOf(smoothed)).toEqual(
      [-0.91, -0.01].map((value) => constant(Math.fround(value))),
    );
    expect(gradientGraph({ ...shape, labelSmoothing: 0 })).toEqual(plain);
    const shapeOf = ({ nodes, outputs }: Graph) => [
      nodes.map(({ name, operation, inputs }) => ({ name, operation, inputs })),
      outputs,
    ];
    expect(shapeOf(smoothed)).toEqual(shapeOf(plain));
  });

  it('waits with each gradient of the first kernel for the sum before it', () => {
    const { nodes, outputs } = graphOf(4);
    const of = (name: string) => nodes.find((node) => node.name === name);
    const [left, right] = of(outputs[0] ?? '')?.inputs.map(of) ?? [];
    const [first, second, third, fourth] = [left, right].flatMap((sum) => sum?.inputs.map(of));
    const waitsFor = [first, second, third, fourth].map((leaf) => leaf?.inputs.slice(2));
    expect(waitsFor).toEqual([[], [`^${first?.name}`], [`^${left?.name}`], [`^${third?.name}`]]);
  });
});
