import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { workerEnvironment } from '../../worker/native/device-environment.ts';
import type { NativeEngine } from '../../worker/native/engine-manifest.ts';
import type { UsableGpus } from '../../worker/native/usable-gpus.ts';
import type { LocalOptions } from '../options/options.ts';
import { executable } from '../package.ts';
import { onSignal } from './signals.ts';

/** Set for a worker that was started with its engine's environment. */
const ENGINE_READY = 'MNIST_DIST_INTERNAL_ENGINE_READY';

/** Whether this process was started with its engine's environment. */
export function hasEngineEnvironment(): boolean {
  return process.env[ENGINE_READY] === '1';
}

/** The environment variables that a worker's process needs from its start. */
export function engineEnvironment(
  native: NativeEngine,
  options: Pick<LocalOptions, 'threads' | 'device'>,
  gpus: UsableGpus,
): Record<string, string> {
  return { ...workerEnvironment(native, options, gpus), [ENGINE_READY]: '1' };
}

/**
 * Runs this command again with the engine's environment and resolves with its exit code, or with
 * undefined if this process already has that environment. Forwards signals to the new process.
 */
export async function runInEnvironment(
  environment: Readonly<Record<string, string>>,
  argv: readonly string[],
): Promise<number | undefined> {
  if (hasEngineEnvironment()) return undefined;
  const child = spawn(process.execPath, [executable, ...argv], {
    env: { ...process.env, ...environment },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // A signal to the whole process group may already have ended the child.
  onSignal((code) => {
    if (child.connected) child.send({ kind: 'stop', code }, () => undefined);
  });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}
