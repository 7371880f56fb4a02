import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ClusterError } from '../../shared/errors.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { refuseDevice } from '../../worker/engines/device.ts';
import { ensureTensorFlow } from '../../worker/native/ensure.ts';
import { workerEnvironment } from '../../worker/native/device-environment.ts';
import { requireLoadable } from '../../worker/native/loadable.ts';
import { loadTensorFlow } from '../../worker/native/load.ts';
import type { NativeEngine } from '../../worker/native/engine-manifest.ts';
import { requireGpu } from '../../worker/native/require-gpu.ts';
import {
  findUsableGpus,
  howMany,
  noGpus,
  type UsableGpus,
} from '../../worker/native/usable-gpus.ts';
import type { Log } from '../terminal/log.ts';
import type { LocalOptions, WorkerOptions } from '../options/options.ts';
import { stderr } from '../terminal/output.ts';
import { executable } from '../package.ts';
import { setupProgress } from '../terminal/setup-progress.ts';
import { onSignal } from './signals.ts';

export interface EngineChoice {
  readonly engine: EngineKind;
  /** The installed TensorFlow, if it was chosen. */
  readonly native?: NativeEngine;
  /** The GPUs that workers may use. */
  readonly gpus: UsableGpus;
}

/** Set for a worker that was started with its engine's environment. */
const ENGINE_READY = 'MNIST_DIST_INTERNAL_ENGINE_READY';

/**
 * Chooses the engine, and sets up TensorFlow if it is missing. If that fails with `auto`, chooses
 * wasm and logs a warning that gives the cause. Rejects with ENGINE, before anything is set up, if
 * a requested GPU is missing or the engine cannot use it.
 */
export async function chooseEngine(
  { engine, device }: Pick<WorkerOptions, 'engine' | 'device'>,
  log: Log,
): Promise<EngineChoice> {
  if (engine === 'wasm' || engine === 'reference') {
    refuseDevice(engine, device);
    return { engine, gpus: noGpus };
  }
  // A process with the engine's environment already has its GPU.
  const isReady = process.env[ENGINE_READY] === '1';
  const gpus = isReady || device === 'cpu' ? noGpus : await findUsableGpus();
  // Warns only if the driver shows a GPU, since otherwise no variable can be hiding one.
  if (gpus.problem !== undefined && gpus.shown > 0) log.warn({}, howMany(gpus));
  if (device !== 'auto' && device !== 'cpu' && !isReady) await requireGpu(device, gpus);
  const progress = setupProgress(stderr);
  try {
    const wanted = device === 'auto' ? {} : ({ device: device === 'cpu' ? 'cpu' : 'gpu' } as const);
    const native = await ensureTensorFlow(wanted, progress.report);
    if (!isReady) await requireLoadable(native);
    return { engine: 'tensorflow', native, gpus };
  } catch (error) {
    const canUseWasm = engine === 'auto' && (device === 'auto' || device === 'cpu');
    if (!canUseWasm || !(error instanceof ClusterError)) throw error;
    log.warn(
      { engine: 'wasm' },
      `using the slower wasm engine: ${error.message}. ${error.fix ?? ''}`,
    );
    return { engine: 'wasm', gpus: noGpus };
  } finally {
    progress.end();
  }
}

/** Loads the engine's library early, while the coordinator may still be starting. */
export function preloadEngine(engine: EngineKind): void {
  if (engine === 'tensorflow') loadTensorFlow((lines) => stderr.write(...lines));
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
  if (process.env[ENGINE_READY] === '1') return undefined;
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
