import { ClusterError } from '../../shared/errors.ts';
import { driverLibrary, missingLibraries } from './cuda.ts';
import { gpuOf, type UsableGpus } from './usable-gpus.ts';

const OR_CPU = 'or compute on the CPU: --device cpu';

/**
 * Checks what a GPU needs besides the libraries of CUDA (3.4 GB to download, and useless without
 * the rest). Throws ENGINE with the missing part: the driver, a GPU, or the GPU with this number.
 */
export async function requireGpu(
  device: `cuda:${number}`,
  usable: UsableGpus,
  library: string = driverLibrary,
): Promise<void> {
  const why = (await missingLibraries([library], {})).get(library);
  if (why !== undefined) {
    throw new ClusterError(
      'ENGINE',
      `--device ${device}: NVIDIA's driver is missing here (${why})`,
      {
        fix: `Install the driver, make it visible in this container (--gpus all), ${OR_CPU}`,
      },
    );
  }
  if (usable.shown === 0) {
    const what =
      `${library} is here, but no GPU: nvidia-smi lists none, and the kernel has no driver ` +
      `loaded`;
    throw new ClusterError('ENGINE', `--device ${device}: ${what}`, {
      fix:
        `Make it visible in this container (--gpus all), put nvidia-smi on PATH if there is ` +
        `one, ${OR_CPU}`,
    });
  }
  gpuOf(device, usable);
}
