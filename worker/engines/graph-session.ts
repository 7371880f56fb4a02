import type { Binding } from '../native/binding.ts';
import type { Graph } from './graph.ts';
import { withoutSignals, type Support } from '../native/addons/support.ts';
import { SAVED_MODEL_TAG, withSavedModel } from './saved-model.ts';
import { item } from './engine.ts';

export interface Feed {
  readonly shape: readonly number[];
  readonly type: 'float32' | 'int32';
}

/** A graph that has been loaded into TensorFlow. */
export interface GraphSession {
  /**
   * Runs the graph on these arrays, in the order of its placeholders, and passes each output to
   * `take`, in order. No tensor outlives the call, even if it throws.
   */
  run(
    values: readonly (Float32Array | Int32Array)[],
    take: (output: Float32Array, index: number) => void,
  ): void;
  dispose(): void;
}

/** Loads a graph; `feeds` describes its placeholders. */
export function loadGraph(
  binding: Binding,
  support: Support,
  graph: Graph,
  feeds: readonly Feed[],
): GraphSession {
  const session = withSavedModel(graph, (directory) =>
    withoutSignals(support, () => binding.loadSavedModel(directory, SAVED_MODEL_TAG)),
  );
  const inputNames = graph.inputs.map(outputName).join(',');
  const outputNames = graph.outputs.map(outputName).join(',');
  const types = feeds.map((feed) =>
    feed.type === 'float32' ? binding.TF_FLOAT : binding.TF_INT32,
  );
  return {
    run(values, take) {
      const inputs: number[] = [];
      let outputs: readonly { readonly id: number }[] = [];
      try {
        for (let i = 0; i < feeds.length; i++) {
          inputs.push(binding.createTensor(item(feeds, i).shape, item(types, i), item(values, i)));
        }
        outputs = withoutSignals(support, () => {
          // The graph runs on this thread (see device-environment.ts), and JavaScript needs
          // subnormals again afterwards.
          support.flushSubnormals(true);
          try {
            return binding.runSavedModel(session, inputs, inputNames, outputNames);
          } finally {
            support.flushSubnormals(false);
          }
        });
        for (let i = 0; i < outputs.length; i++)
          take(binding.tensorDataSync(item(outputs, i).id), i);
      } finally {
        for (const id of inputs) binding.deleteTensor(id);
        for (const { id } of outputs) binding.deleteTensor(id);
      }
    },
    dispose: () => binding.deleteSavedModel(session),
  };
}

/** Tensor names have the form "node:output". */
function outputName(value: string): string {
  return value.includes(':') ? value : `${value}:0`;
}
