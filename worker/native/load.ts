import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as TensorFlow from '@tensorflow/tfjs-node-gpu';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { readyTensorFlow } from './engine-manifest.ts';
import { tfjsPackage } from './places.ts';
import { loadSupport } from './support.ts';

export type TensorFlowModule = typeof TensorFlow;

const require = createRequire(import.meta.url);

/**
 * Loads TensorFlow into this process: the package itself, once, so that there is one registry of
 * kernels. The process must have been started with the environment from device-environment.ts, and
 * ensure.ts must have built the binding. An incompatible library aborts the process, so ensure.ts
 * has tested it in a child process. The library writes to stderr while it loads: `say` gets the
 * warnings and errors, and everything else is dropped. MNIST_DIST_TENSORFLOW_LOG=1 passes
 * everything through.
 */
export function loadTensorFlow(
  say: (lines: readonly string[]) => void = () => undefined,
): TensorFlowModule {
  restoreRemovedUtilities();
  pointToBinding();
  let said = '';
  try {
    const support = process.env['MNIST_DIST_TENSORFLOW_LOG'] === '1' ? undefined : loadSupport();
    support?.captureStderr();
    try {
      // Parsing outside input: the exports of the package match its declarations.
      return require('@tensorflow/tfjs-node-gpu') as TensorFlowModule;
    } finally {
      said = support?.releaseStderr() ?? '';
    }
  } catch (error) {
    throw new ClusterError(
      'ENGINE',
      `TensorFlow cannot be loaded: ${messageOf(error).split('\n')[0] ?? ''}`,
      {
        fix: 'run: npx mnist-dist setup; if that does not help, run: npx mnist-dist doctor',
        cause: error,
      },
    );
  } finally {
    const worthy = withoutGreetings(said);
    if (worthy.length > 0) say(worthy);
  }
}

/** The package asks node-pre-gyp for the path of its binding; ours may be in the cache. */
function pointToBinding(): void {
  const binding = readyTensorFlow()?.binding;
  if (binding === undefined) return;
  const inner = createRequire(join(tfjsPackage().directory, 'package.json'));
  const finder: unknown = inner('@mapbox/node-pre-gyp/lib/pre-binding');
  if (typeof finder === 'object' && finder !== null) Reflect.set(finder, 'find', () => binding);
}

/** Drops absl's warning about itself, and lines of severity INFO with their continuation lines. */
export function withoutGreetings(said: string): string[] {
  let isKept = false;
  return said.split('\n').filter((line) => {
    if (line.startsWith('WARNING: All log messages before absl') || /^I\d{4} /.test(line))
      isKept = false;
    else if (/^[WEF]\d{4} /.test(line) || /^\d{4}-\d\d-\d\d .*: [WEF] /.test(line)) isKept = true;
    return isKept && line !== '';
  });
}

/** tfjs-node 4.22 calls two functions that Node 23 removed from node:util. */
const removed = {
  isNullOrUndefined: (value: unknown) => value === null || value === undefined,
  isArray: Array.isArray,
};

function restoreRemovedUtilities(): void {
  const util: unknown = require('node:util');
  if (typeof util !== 'object' || util === null) return;
  for (const [name, utility] of Object.entries(removed)) {
    if (!(name in util)) Reflect.set(util, name, utility);
  }
}
