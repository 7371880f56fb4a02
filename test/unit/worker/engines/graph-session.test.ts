import { describe, expect, it } from 'vitest';
import type { GraphAddon } from '../../../../worker/native/addons/graphs.ts';
import type { Support } from '../../../../worker/native/addons/support.ts';
import { graphDefinition, sessionOptions } from '../../../../worker/engines/graph-messages.ts';
import { loadGraph } from '../../../../worker/engines/graph-session.ts';
import { GraphBuilder } from '../../../../worker/engines/graph.ts';

function sumGraph() {
  const graph = new GraphBuilder();
  const sum = graph.binary(
    'AddV2',
    graph.placeholder('a', 'float32', [2]),
    graph.placeholder('b', 'float32', [2]),
  );
  return graph.build([sum, `${sum}:1`]);
}

/** An addon that records what happens, in order. */
function fakeAddon(failsAt?: 'load' | 'run') {
  const happened: string[] = [];
  const loaded: unknown[] = [];
  const passed: unknown[] = [];
  const addon: GraphAddon = {
    load(...parts) {
      happened.push('load');
      if (failsAt === 'load') throw new Error('no kernel');
      loaded.push(...parts);
      return 'a session';
    },
    run(...parts) {
      happened.push('run');
      if (failsAt === 'run') throw new Error('no kernel');
      passed.push(...parts);
    },
    close(session) {
      happened.push(`close ${String(session)}`);
    },
    tensors: () => 0,
  };
  const support: Support = {
    captureStderr: () => undefined,
    keepLargeBlocks: () => undefined,
    releaseStderr: () => '',
    flushSubnormals: (on) => happened.push(on ? 'flush' : 'keep'),
    holdSignals: (on) => happened.push(on ? 'hold' : 'release'),
  };
  return { addon, support, happened, loaded, passed };
}

const inputs = [Float32Array.of(1, 2), Float32Array.of(3, 4)];
const outputs = [new Float32Array(2), new Float32Array(2)];

describe('a graph session', () => {
  it('loads the graph without Grappler, and passes on its arrays and outputs', () => {
    const { addon, support, loaded, passed } = fakeAddon();
    const graph = sumGraph();
    loadGraph(addon, support, graph).run(inputs, outputs);
    expect(loaded).toEqual([
      graphDefinition(graph),
      sessionOptions(),
      ['a', 'b'],
      ['AddV2_2', 'AddV2_2:1'],
    ]);
    expect(passed).toEqual(['a session', inputs, outputs]);
  });

  it('holds signals during calls of TensorFlow, and flushes subnormals while a graph runs', () => {
    const { addon, support, happened } = fakeAddon();
    const session = loadGraph(addon, support, sumGraph());
    session.run(inputs, outputs);
    session.dispose();
    expect(happened.join(' ')).toBe(
      'hold load release hold flush run keep release close a session',
    );
  });

  it('restores both when a call fails', () => {
    const failing = fakeAddon('run');
    const session = loadGraph(failing.addon, failing.support, sumGraph());
    failing.happened.length = 0;
    expect(() => session.run(inputs, outputs)).toThrow('no kernel');
    expect(failing.happened).toEqual(['hold', 'flush', 'run', 'keep', 'release']);
    const { addon, support, happened } = fakeAddon('load');
    expect(() => loadGraph(addon, support, sumGraph())).toThrow('no kernel');
    expect(happened).toEqual(['hold', 'load', 'release']);
  });
});
