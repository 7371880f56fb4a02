import { constants } from 'node:os';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { readyTensorFlow } from './engine-manifest.ts';
import { loadSupport, withoutSignals } from './addons/support.ts';
import { parseBinding, type Binding } from './binding.ts';

/**
 * Loads tfjs-node-gpu's native binding, and with it TensorFlow, into this process. The process must
 * have the environment from device-environment.ts, and ensure.ts must have built the binding. An
 * incompatible library aborts the process, so ensure.ts must also have tested it in a child
 * process. The library writes to stderr while it loads: `say` gets the warnings and errors, and
 * everything else is dropped. MNIST_DIST_TENSORFLOW_LOG=1 passes everything through. Throws ENGINE
 * if TensorFlow cannot be loaded.
 */
export function loadTensorFlow(say: (lines: readonly string[]) => void = () => undefined): Binding {
  let said = '';
  try {
    const path = readyTensorFlow()?.binding;
    if (path === undefined) throw new Error('it is not set up');
    const support = loadSupport();
    support.keepLargeBlocks();
    const isCaptured = process.env['MNIST_DIST_TENSORFLOW_LOG'] !== '1';
    if (isCaptured) support.captureStderr();
    try {
      return parseBinding(withoutSignals(support, () => open(path)));
    } finally {
      if (isCaptured) said = support.releaseStderr();
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

let opened: { readonly path: string; readonly binding: unknown } | undefined;

/**
 * Opens the binding, once per process. With RTLD_DEEPBIND, the linker looks for TensorFlow's
 * symbols in TensorFlow before it looks in Node. That saves a sixth of the time of loading, and
 * TensorFlow cannot get a function of Node that merely has the same name.
 */
function open(path: string): unknown {
  if (opened?.path === path) return opened.binding;
  const module = { exports: {} };
  process.dlopen(module, path, constants.dlopen.RTLD_LAZY | constants.dlopen.RTLD_DEEPBIND);
  opened = { path, binding: module.exports };
  return opened.binding;
}

/**
 * Drops absl's warning about its own initialization, and lines of severity INFO with their
 * continuation lines.
 */
export function withoutGreetings(said: string): string[] {
  let isKept = false;
  return said.split('\n').filter((line) => {
    if (line.startsWith('WARNING: All log messages before absl') || /^I\d{4} /.test(line))
      isKept = false;
    else if (/^[WEF]\d{4} /.test(line) || /^\d{4}-\d\d-\d\d .*: [WEF] /.test(line)) isKept = true;
    return isKept && line !== '';
  });
}
