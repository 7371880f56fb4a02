import { createRequire } from 'node:module';
import { join } from 'node:path';
import { ClusterError, messageOf } from '../../../shared/errors.ts';
import { hasFunctions } from './has-functions.ts';
import { readyTensorFlow } from '../engine-manifest.ts';
import { GRAPHS_FILE } from '../places.ts';

export type Values = Float32Array | Int32Array | Uint8Array;

/** The functions of graphs.cc. `Session` is opaque. */
export interface GraphAddon {
  /**
   * Loads a graph: the bytes of a GraphDef and of a ConfigProto, the names of its placeholders and
   * of the values that `run` returns.
   */
  load(
    graph: Uint8Array,
    options: Uint8Array,
    inputs: readonly string[],
    outputs: readonly string[],
  ): unknown;
  /**
   * Runs the graph, and copies its values into `outputs`. Throws if the type or size of an array
   * differs from the graph's, or with TensorFlow's message.
   */
  run(session: unknown, inputs: readonly Values[], outputs: readonly Values[]): void;
  close(session: unknown): void;
  /** Number of live tensors, for leak checks. */
  tensors(): number;
}

const functions = ['load', 'run', 'close', 'tensors'];

/**
 * Loads the addon that runs graphs. TensorFlow must have been loaded (load.ts). Throws ENGINE if it
 * cannot be loaded.
 */
export function loadGraphAddon(): GraphAddon {
  try {
    const ready = readyTensorFlow();
    if (ready === undefined) throw new Error('it is not set up');
    const addon: unknown = createRequire(import.meta.url)(join(ready.moduleDirectory, GRAPHS_FILE));
    if (isGraphAddon(addon)) return addon;
    throw new Error('our addon for graphs lacks functions');
  } catch (error) {
    throw new ClusterError('ENGINE', `TensorFlow cannot be loaded: ${messageOf(error)}`, {
      fix: 'run: npx mnist-dist setup --repair',
      cause: error,
    });
  }
}

function isGraphAddon(addon: unknown): addon is GraphAddon {
  return hasFunctions(addon, functions);
}
