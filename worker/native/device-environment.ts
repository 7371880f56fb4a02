import { join } from 'node:path';
import { ClusterError } from '../../shared/errors.ts';
import type { NativeEngine } from './engine-manifest.ts';
import { gpuOf, type UsableGpus } from './usable-gpus.ts';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';

export interface WorkerDevice {
  /** Threads per operation. The computed bytes may depend on this number, so it is fixed. */
  readonly threads: number;
  /**
   * `cuda:N` is the GPU at index N among those that this process may use. `auto` is the first of
   * these GPUs if TensorFlow was set up with CUDA, otherwise the CPU.
   */
  readonly device: 'auto' | 'cpu' | `cuda:${number}`;
}

/**
 * The environment variable that contains the UUID of a worker's GPU, for gpu-telemetry.ts. It is
 * empty if the UUID is unknown or the worker computes on the CPU.
 */
export const OWN_GPU = 'MNIST_DIST_INTERNAL_GPU';

/**
 * Variables with which TensorFlow, oneDNN or XLA compute different bytes, or are documented to. A
 * run does not record them, so they are removed from the environment of engines.
 */
const BYTE_VARIABLES: readonly string[] = [
  'TF_ENABLE_ONEDNN_OPTS',
  'TF_ONEDNN_ASSUME_FROZEN_WEIGHTS',
  'TF_SET_ONEDNN_FPMATH_MODE',
  'TF_XLA_FLAGS',
  'TF_USE_CUBLASLT',
  'TF_MATMUL_AUTOTUNE_ENABLE',
  ...['ONEDNN', 'DNNL'].flatMap((library) =>
    ['MAX_CPU_ISA', 'CPU_ISA_HINTS', 'DEFAULT_FPMATH_MODE'].map((name) => `${library}_${name}`),
  ),
];

/** Removes the variables that change bytes; returns them as "NAME=value". */
export function removeByteVariables(environment: NodeJS.ProcessEnv): readonly string[] {
  return BYTE_VARIABLES.flatMap((name) => {
    const value = environment[name];
    delete environment[name];
    return value === undefined || value === '' ? [] : [`${name}=${value}`];
  });
}

/**
 * The environment that TensorFlow reads once, while it is loaded. The linker reads LD_LIBRARY_PATH,
 * which only CUDA needs, when the process starts.
 */
export function workerEnvironment(
  native: NativeEngine,
  { threads, device }: WorkerDevice,
  usable: UsableGpus,
  inherited: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const shared: Record<string, string> = {
    ...native.environment,
    TF_NUM_INTRAOP_THREADS: String(threads),
    // A negative value runs operations in the calling thread: handing them to another thread costs
    // more than it gains here.
    TF_NUM_INTEROP_THREADS: '-1',
    TF_CPP_MIN_LOG_LEVEL: inherited['TF_CPP_MIN_LOG_LEVEL'] ?? '2',
    TF_DETERMINISTIC_OPS: '1',
  };
  const gpu = native.device === 'cpu' ? undefined : gpuOf(device, usable);
  if (gpu === undefined) {
    if (device !== 'cpu' && device !== 'auto') {
      throw new ClusterError(
        'ENGINE',
        `--device ${device}: this TensorFlow was set up without CUDA`,
        {
          fix: 'run: npx mnist-dist setup --gpu',
        },
      );
    }
    return { ...shared, CUDA_VISIBLE_DEVICES: '-1', [OWN_GPU]: '' };
  }
  return {
    ...shared,
    LD_LIBRARY_PATH: joinPaths(native.environment['LD_LIBRARY_PATH'], inherited['LD_LIBRARY_PATH']),
    CUDA_DEVICE_ORDER: gpu.order,
    // The binding uploads to the last GPU but computes on the first, so each process sees only one.
    CUDA_VISIBLE_DEVICES: gpu.identifier,
    [OWN_GPU]: gpu.gpu?.uuid ?? '',
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    // TensorFloat-32 would reduce the factors of matrix products to 11 significant bits.
    NVIDIA_TF32_OVERRIDE: '0',
    // Code for the newest GPUs is compiled at the first start; the cache keeps it for later starts.
    CUDA_CACHE_PATH: inherited['CUDA_CACHE_PATH'] ?? join(cacheDirectory(inherited), 'cuda'),
    CUDA_CACHE_MAXSIZE: '4294967296',
  };
}

function joinPaths(...paths: readonly (string | undefined)[]): string {
  return paths.filter((path) => path !== undefined && path !== '').join(':');
}
