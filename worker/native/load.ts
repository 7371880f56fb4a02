import { createRequire } from 'node:module';
import type * as TensorFlow from '@tensorflow/tfjs-node-gpu';
import { ClusterError, messageOf } from '../../shared/errors.ts';

export type TensorFlowModule = typeof TensorFlow;

const require = createRequire(import.meta.url);

/**
 * TensorFlow in this process: the package itself, once, so that there is one registry of kernels. Needs the
 * environment of environment.ts from before the process started, and the binding that ensure.ts has built. A library
 * that does not fit aborts the process; ensure.ts has tried it in a child.
 */
export function loadTensorFlow(): TensorFlowModule {
  restoreRemovedUtilities();
  try {
    // Parsing outside input: what a package exports is what its own declarations say.
    return require('@tensorflow/tfjs-node-gpu') as TensorFlowModule;
  } catch (error) {
    throw new ClusterError('ENGINE', `TensorFlow cannot be loaded: ${messageOf(error).split('\n')[0]}`, {
      fix: 'Run `npx mnist-dist setup`, then `npx mnist-dist doctor`.',
      cause: error,
    });
  }
}

/** tfjs-node 4.22 calls two functions that Node 23 removed from node:util. */
function restoreRemovedUtilities(): void {
  const util: Record<string, unknown> = require('node:util');
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
}
