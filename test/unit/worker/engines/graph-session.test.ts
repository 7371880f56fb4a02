import { existsSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Binding } from '../../../../worker/native/binding.ts';
import { GraphBuilder } from '../../../../worker/engines/graph.ts';
import { loadGraph } from '../../../../worker/engines/graph-session.ts';
import type { Support } from '../../../../worker/native/addons/support.ts';

function sumGraph() {
  const graph = new GraphBuilder();
  const sum = graph.binary(
    'AddV2',
    graph.placeholder('a', 'float32', [2]),
    graph.placeholder('b', 'float32', [2]),
  );
  return graph.build([sum, `${sum}:1`]);
}

const feeds = [
  { type: 'float32', shape: [2] },
  { type: 'float32', shape: [2] },
] as const;

/**
 * A fake binding whose ids have wrapped to negative numbers. It keeps track of the live tensors.
 */
function fakeBinding(behaviour: { failsAt?: 'create' | 'run' } = {}) {
  const live = new Set<number>();
  const seen = {
    directory: '',
    files: [] as string[],
    names: [] as string[],
    flushing: [] as boolean[],
    /** What happened while signals waited, in order. */
    held: [] as string[],
  };
  let next = -(2 ** 31);
  const make = () => {
    live.add(next);
    return next++;
  };
  const binding: Binding = {
    TF_Version: '0',
    TF_FLOAT: 1,
    TF_INT32: 3,
    isUsingGpuDevice: () => false,
    getNumOfTensors: () => live.size,
    createTensor() {
      if (behaviour.failsAt === 'create' && live.size === 1) throw new Error('no memory');
      return make();
    },
    deleteTensor(id) {
      if (!live.delete(id)) throw new Error(`no tensor ${id}`);
    },
    tensorDataSync: (id) => Float32Array.of(id),
    loadSavedModel(directory) {
      seen.held.push('load');
      seen.directory = directory;
      seen.files = readdirSync(directory);
      return 7;
    },
    deleteSavedModel: () => undefined,
    runSavedModel(_id, _inputs, inputNames, outputNames) {
      seen.held.push('run');
      if (behaviour.failsAt === 'run') throw new Error('no kernel');
      seen.names = [inputNames, outputNames];
      return [{ id: make() }, { id: make() }];
    },
  };
  const support: Support = {
    captureStderr: () => undefined,
    keepLargeBlocks: () => undefined,
    releaseStderr: () => '',
    flushSubnormals: (on) => seen.flushing.push(on),
    holdSignals: (on) => seen.held.push(on ? 'hold' : 'release'),
  };
  return { binding, support, live, seen };
}

const values = [Float32Array.of(1, 2), Float32Array.of(3, 4)];

describe('a graph session', () => {
  it('loads the graph from a folder that it then removes, and runs tensors by name', () => {
    const { binding, support, seen } = fakeBinding();
    loadGraph(binding, support, sumGraph(), feeds).run(values, () => undefined);
    expect(seen.files).toEqual(['saved_model.pb']);
    expect(existsSync(seen.directory)).toBe(false);
    expect(seen.names).toEqual(['a:0,b:0', 'AddV2_2:0,AddV2_2:1']);
  });

  it('frees every tensor, including those with negative ids', () => {
    const { binding, support, live } = fakeBinding();
    const taken: number[] = [];
    loadGraph(binding, support, sumGraph(), feeds).run(values, (output, index) =>
      taken.push(index, output[0] ?? NaN),
    );
    expect(taken).toEqual([0, Math.fround(-(2 ** 31) + 2), 1, Math.fround(-(2 ** 31) + 3)]);
    expect(live.size).toBe(0);
  });

  it.each(['create', 'run'] as const)('frees every tensor when %s fails', (failsAt) => {
    const { binding, support, live } = fakeBinding({ failsAt });
    expect(() =>
      loadGraph(binding, support, sumGraph(), feeds).run(values, () => undefined),
    ).toThrow(/no (memory|kernel)/);
    expect(live.size).toBe(0);
  });

  it.each([undefined, 'run'] as const)(
    'flushes subnormals only during the call (failing step: %s)',
    (failsAt) => {
      const { binding, support, seen } = fakeBinding(failsAt === undefined ? {} : { failsAt });
      const taken: boolean[][] = [];
      const run = () =>
        loadGraph(binding, support, sumGraph(), feeds).run(values, () =>
          taken.push([...seen.flushing]),
        );
      if (failsAt === undefined) run();
      else expect(run).toThrow('no kernel');
      expect(seen.flushing).toEqual([true, false]);
      expect(taken.every((before) => before.length === 2)).toBe(true);
    },
  );

  it.each([undefined, 'run'] as const)(
    'holds signals only during calls of TensorFlow (failing step: %s)',
    (failsAt) => {
      const { binding, support, seen } = fakeBinding(failsAt === undefined ? {} : { failsAt });
      const run = () =>
        loadGraph(binding, support, sumGraph(), feeds).run(values, () => seen.held.push('take'));
      if (failsAt === undefined) run();
      else expect(run).toThrow('no kernel');
      const taken = failsAt === undefined ? ['take', 'take'] : [];
      const loading = ['hold', 'load', 'release'];
      expect(seen.held).toEqual([...loading, 'hold', 'run', 'release', ...taken]);
    },
  );

  it('frees every tensor when the callback throws', () => {
    const { binding, support, live } = fakeBinding();
    const run = () =>
      loadGraph(binding, support, sumGraph(), feeds).run(values, () => {
        throw new Error('not mine');
      });
    expect(run).toThrow('not mine');
    expect(live.size).toBe(0);
  });
});
