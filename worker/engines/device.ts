import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { ClusterError } from '../../shared/errors.ts';
import { OWN_GPU } from '../native/device-environment.ts';

const GPUS = '/proc/driver/nvidia/gpus';

/** Throws ENGINE if the device is a GPU: only TensorFlow can compute on one. */
export function refuseDevice(kind: Exclude<EngineKind, 'tensorflow'>, device: string): void {
  if (device === 'auto' || device === 'cpu') return;
  throw new ClusterError('ENGINE', `the engine "${kind}" cannot run on the device "${device}"`, {
    fix: 'use `--device cpu` or `--engine tensorflow`',
  });
}

/**
 * The device that TensorFlow uses, such as "cpu" or "cuda:0 NVIDIA H100". Throws ENGINE if it is
 * not the requested one ("auto", "cpu" or "cuda:N"): when a CUDA library is missing, TensorFlow
 * silently uses the CPU. Which GPU it is needs no check: CUDA_VISIBLE_DEVICES selected it when the
 * process started.
 */
export function describeDevice(asked: string, isGpu: boolean): string {
  if (asked.startsWith('cuda') && !isGpu) {
    throw new ClusterError('ENGINE', `TensorFlow does not register the device "${asked}"`, {
      fix:
        'run `npx mnist-dist doctor`, which reports the missing library or driver, or use ' +
        '`--device cpu`',
    });
  }
  if (asked === 'cpu' && isGpu) {
    throw new ClusterError('ENGINE', 'TensorFlow registers a GPU although the device is "cpu"', {
      fix: 'start the worker with CUDA_VISIBLE_DEVICES=-1',
    });
  }
  if (!isGpu) return 'cpu';
  const index = asked.startsWith('cuda') ? asked : 'cuda:0';
  return `${index} ${gpuModel(process.env[OWN_GPU] ?? '')}`.trim().slice(0, 200);
}

/**
 * The model name of the GPU with this UUID, or else the model name that all GPUs on this host
 * share; empty if it is unknown or the models differ.
 */
function gpuModel(uuid: string): string {
  try {
    const all = readdirSync(GPUS).map((gpu) =>
      readFileSync(join(GPUS, gpu, 'information'), 'utf8'),
    );
    const own = all.filter((information) => uuid !== '' && information.includes(uuid));
    const models = (own.length > 0 ? own : all).map(
      (information) => /^Model:\s*(.+)$/m.exec(information)?.[1]?.trim() ?? '',
    );
    return new Set(models).size === 1 ? (models[0] ?? '') : '';
  } catch {
    return '';
  }
}
