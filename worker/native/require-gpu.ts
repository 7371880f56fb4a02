import { ClusterError } from '../../shared/errors.ts';
import { driverLibrary, missingLibraries } from './cuda.ts';
import { gpuOf, type UsableGpus } from './usable-gpus.ts';

const OR_CPU = 'or compute on the CPU: --device cpu';

/**
 * Checks a GPU's requirements other than the CUDA libraries, which are a download of 3.4 GB and
 * useless without the rest. Rejects with ENGINE, stating what is missing: the driver, all GPUs, or
 * the GPU with this number.
 */
export async function requireGpu(
  device: `cuda:${number}`,
  usable: UsableGpus,
  library: string = driverLibrary,
): Promise<void> {
  const why = (await missingLibraries([library], {})).get(library);
  if (why !== undefined) {
    throw new ClusterError('ENGINE', `--device ${device}: the NVIDIA driver is missing (${why})`, {
      fix: `install the driver, make it visible in this container (--gpus all), ${OR_CPU}`,
    });
  }
  if (usable.shown === 0) {
    const what =
      `${library} was found, but no GPU: neither nvidia-smi nor the kernel driver ` + `lists one`;
    throw new ClusterError('ENGINE', `--device ${device}: ${what}`, {
      fix:
        `make the GPU visible in this container (--gpus all), put nvidia-smi on PATH if it is ` +
        `installed, ${OR_CPU}`,
    });
  }
  gpuOf(device, usable);
}
