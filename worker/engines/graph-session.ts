import type { GraphAddon, Values } from '../native/addons/graphs.ts';
import { withoutSignals, type Support } from '../native/addons/support.ts';
import { graphDefinition, sessionOptions } from './graph-messages.ts';
import type { Graph } from './graph.ts';

/** A graph that has been loaded into TensorFlow. */
export interface GraphSession {
  /**
   * Runs the graph on these arrays, in the order of its placeholders, and writes its outputs to
   * `outputs`, in order. It reads the arrays in place and keeps no reference to them.
   */
  run(inputs: readonly Values[], outputs: readonly Float32Array[]): void;
  dispose(): void;
}

export function loadGraph(addon: GraphAddon, support: Support, graph: Graph): GraphSession {
  const session = withoutSignals(support, () =>
    addon.load(graphDefinition(graph), sessionOptions(), graph.inputs, graph.outputs),
  );
  return {
    run(inputs, outputs) {
      withoutSignals(support, () => {
        // The graph runs on this thread (see device-environment.ts), and JavaScript needs
        // subnormals again afterwards.
        support.flushSubnormals(true);
        try {
          addon.run(session, inputs, outputs);
        } finally {
          support.flushSubnormals(false);
        }
      });
    },
    dispose: () => addon.close(session),
  };
}
