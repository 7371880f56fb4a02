import type { EngineKind } from '../../shared/engine-identity.ts';
import { ClusterError } from '../../shared/errors.ts';
import { visible } from '../../shared/printable.ts';
import { removeByteVariables } from '../../worker/native/device-environment.ts';
import { isFor, readyTensorFlow, type NativeEngine } from '../../worker/native/engine-manifest.ts';
import { requireLoadable } from '../../worker/native/loadable.ts';
import { requireGpu } from '../../worker/native/require-gpu.ts';
import {
  findUsableGpus,
  howMany,
  noGpus,
  type UsableGpus,
} from '../../worker/native/usable-gpus.ts';
import type { WorkerOptions } from '../options/options.ts';
import type { Log } from '../terminal/log.ts';
import { stderr } from '../terminal/output.ts';
import { setupProgress } from '../terminal/setup-progress.ts';
import { hasEngineEnvironment } from './engine-environment.ts';

export interface EngineChoice {
  readonly engine: EngineKind;
  /** The installed TensorFlow, if it was chosen. */
  readonly native?: NativeEngine;
  /** The GPUs that workers may use. */
  readonly gpus: UsableGpus;
}

/**
 * Chooses TensorFlow, or wasm with `auto` if TensorFlow cannot be set up or loaded. Removes the
 * variables that would change its bytes from this process's environment, which workers inherit.
 */
export async function chooseTensorFlow(
  { engine, device }: Pick<WorkerOptions, 'engine' | 'device'>,
  log: Log,
): Promise<EngineChoice> {
  const removed = removeByteVariables(process.env);
  if (removed.length > 0)
    log.warn(
      { removed },
      `ignoring ${removed.map((each) => visible(each.slice(0, 100))).join(', ')}: ` +
        'a run does not record these variables, and they change the bytes that are computed',
    );
  // A process with the engine's environment already has its GPU.
  const isReady = hasEngineEnvironment();
  const gpus = isReady || device === 'cpu' ? noGpus : await findUsableGpus();
  // Warns only if the driver shows a GPU, since otherwise no variable can be hiding one.
  if (gpus.problem !== undefined && gpus.shown > 0) log.warn({}, howMany(gpus));
  if (device !== 'auto' && device !== 'cpu' && !isReady) await requireGpu(device, gpus);
  try {
    const native = await tensorFlowFor(device);
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
  }
}

/** The TensorFlow for a device. What sets it up is loaded only if it is missing. */
async function tensorFlowFor(device: WorkerOptions['device']): Promise<NativeEngine> {
  const wanted = device === 'auto' ? undefined : device === 'cpu' ? 'cpu' : 'gpu';
  const ready = readyTensorFlow();
  if (ready !== undefined && isFor(ready, wanted)) return ready;
  const { ensureTensorFlow } = await import('../../worker/native/ensure.ts');
  const progress = setupProgress(stderr);
  return await ensureTensorFlow({ device: wanted }, progress.report).finally(progress.end);
}
