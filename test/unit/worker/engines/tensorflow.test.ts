import { describe, expect, it } from 'vitest';
import { ClusterError, messageOf } from '../../../../shared/errors.ts';
import { createEngine } from '../../../../worker/engines/create.ts';
import { GraphBuilder } from '../../../../worker/engines/graph.ts';
import { graphDefinition, sessionOptions } from '../../../../worker/engines/graph-messages.ts';
import { loadGraphAddon } from '../../../../worker/native/addons/graphs.ts';
import { loadTensorFlow } from '../../../../worker/native/load.ts';
import { engineContract } from '../../../fixtures/engine/engine-contract.ts';
import { createFixture, type Fixture } from '../../../fixtures/engine/engine-cases.ts';
import { modelContract } from '../../../fixtures/engine/model-contract.ts';

// A worker's environment has these variables; the library reads them when it is loaded.
process.env['TF_NUM_INTRAOP_THREADS'] = '1';
process.env['TF_NUM_INTEROP_THREADS'] = '-1';
process.env['TF_CPP_MIN_LOG_LEVEL'] = '2';
process.env['CUDA_VISIBLE_DEVICES'] = '-1';

const missing = whyMissing();

const create = ({ shape, kernels }: Fixture) =>
  createEngine('tensorflow', shape, kernels, { threads: 1, device: 'cpu' });

engineContract('tensorflow', create, missing);
modelContract('tensorflow', create, missing);

describe.skipIf(missing !== undefined)("TensorFlow's device", () => {
  it('is rejected before any graph is built if it is not registered', async () => {
    const { shape, kernels } = createFixture({ hidden: [8] });
    const creating = createEngine('tensorflow', shape, kernels, { threads: 1, device: 'cuda:0' });
    await expect(creating).rejects.toThrow(ClusterError);
    await expect(creating).rejects.toThrow('does not register the device "cuda:0"');
  });
});

describe.skipIf(missing !== undefined)('the addon that runs graphs', () => {
  const [a, b] = [Float32Array.of(1, 2, 3), Float32Array.of(10, 20, 30)];

  function loadSum(outputs = ['AddV2_2']) {
    const graph = new GraphBuilder();
    graph.binary(
      'AddV2',
      graph.placeholder('a', 'float32', [3]),
      graph.placeholder('b', 'float32', [3]),
    );
    const addon = loadGraphAddon();
    const bytes = graphDefinition(graph.build(outputs));
    return { addon, session: addon.load(bytes, sessionOptions(), ['a', 'b'], outputs) };
  }

  it('reads its arguments in place and writes the results to the given arrays', () => {
    const { addon, session } = loadSum();
    const out = new Float32Array(5);
    addon.run(session, [a, b], [out.subarray(1, 4)]);
    expect([...out]).toEqual([0, 11, 22, 33, 0]);
    expect([...a, ...b]).toEqual([1, 2, 3, 10, 20, 30]);
    addon.close(session);
  });

  it.each([
    [
      'an input of another size',
      [a, b.subarray(1)],
      [new Float32Array(3)],
      /input 1 has the wrong/,
    ],
    ['an input of another type', [new Int32Array(3), b], [new Float32Array(3)], /input 0 has the/],
    ['an output of another size', [a, b], [new Float32Array(4)], /output 0 has the wrong/],
    ['an output of another type', [a, b], [new Int32Array(3)], /output 0 has the wrong/],
    ['too few inputs', [a], [new Float32Array(3)], /wrong number/],
    ['too many outputs', [a, b], [new Float32Array(3), a], /wrong number/],
  ])('rejects %s, and frees all tensors', (_what, inputs, outputs, message) => {
    const { addon, session } = loadSum();
    const before = addon.tensors();
    expect(() => addon.run(session, inputs, outputs)).toThrow(message);
    expect(addon.tensors()).toBe(before);
    addon.close(session);
  });

  it('rejects values that the graph does not have, and bytes that are no graph', () => {
    expect(() => loadSum(['AddV2_2:1'])).toThrow('the graph has no value AddV2_2:1');
    expect(() => loadSum(['Mul_7'])).toThrow('the graph has no value Mul_7');
    const addon = loadGraphAddon();
    expect(() => addon.load(Uint8Array.of(1, 2, 3), sessionOptions(), [], [])).toThrow(
      'Invalid GraphDef',
    );
    expect(() => addon.load(new Uint8Array(0), Uint8Array.of(1, 2, 3), [], [])).toThrow(
      'Unparseable ConfigProto',
    );
  });

  it('rejects a closed session, and anything that is no session', () => {
    const { addon, session } = loadSum();
    addon.close(session);
    expect(() => addon.run(session, [a, b], [a])).toThrow('not an open session');
    expect(() => addon.close(session)).toThrow('not an open session');
    expect(() => addon.run(7, [a, b], [a])).toThrow('not an open session');
  });
});

function whyMissing(): string | undefined {
  try {
    loadTensorFlow();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
