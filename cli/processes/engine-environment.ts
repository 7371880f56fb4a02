import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { workerEnvironment } from '../../worker/native/device-environment.ts';
import type { NativeEngine } from '../../worker/native/engine-manifest.ts';
import type { UsableGpus } from '../../worker/native/usable-gpus.ts';
import type { LocalOptions } from '../options/options.ts';
import { executable } from '../package.ts';
import { errorTable, type ErrorCode } from '../../shared/errors.ts';
import { say } from '../terminal/explain.ts';
import { endStopped, type Ending } from './end-stopped.ts';
import { onSignal, supervisedEnvironment } from './signals.ts';

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
 * Gives this process the engine's environment, or runs the command again if the linker needs that
 * environment from the start of the process. Resolves with the exit code of the new process, to
 * which signals are forwarded, or with undefined if this process has the environment. `handedOn`
 * are further variables for a new process.
 */
export async function enterEnvironment(
  environment: Readonly<Record<string, string>>,
  handedOn: Readonly<Record<string, string>>,
  argv: readonly string[],
): Promise<number | undefined> {
  if (hasEngineEnvironment()) return undefined;
  if (environment['LD_LIBRARY_PATH'] === undefined) {
    // Node passes them on to the C library, where TensorFlow finds them.
    Object.assign(process.env, environment);
    return undefined;
  }
  const child = spawn(process.execPath, [executable, ...argv], {
    env: supervisedEnvironment({ ...process.env, ...environment, ...handedOn }),
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  let stopped: ErrorCode | undefined;
  let ending: Ending | undefined;
  // A signal to the whole process group may already have ended the child.
  onSignal((code) => {
    if (child.connected) child.send({ kind: 'stop', code }, () => undefined);
    child.kill('SIGCONT');
    stopped ??= code;
    ending ??= endStopped({
      name: `process ${child.pid}`,
      kill: () => child.kill('SIGKILL'),
      say: (line) => say(process.argv, 'info', {}, line),
    });
  });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      ending?.ended();
      if (ending?.isForced === true && stopped !== undefined) resolve(errorTable[stopped].exit);
      else resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
