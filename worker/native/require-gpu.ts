import { ClusterError } from '../../shared/errors.ts';
import { driverLibrary, missingLibraries } from './cuda.ts';
import { hasKernelDriver, listGpus } from './devices.ts';

const OR_CPU = 'or compute on the CPU: --device cpu';

/** Where it is looked; other than ordinary in tests. */
interface Places {
  readonly library: string;
  readonly hasDriver: () => boolean;
}

/**
 * Looks for what a GPU needs besides CUDA's libraries: those are 3.4 GB to download, and useless without it. Throws ENGINE,
 * naming what is missing: the driver, a GPU, or the one of this number.
 */
export async function requireGpu(
  device: `cuda:${number}`,
  { library, hasDriver }: Places = { library: driverLibrary, hasDriver: hasKernelDriver },
): Promise<void> {
  const [missing, gpus] = await Promise.all([missingLibraries([library], {}), listGpus()]);
  const why = missing.get(library);
  if (why !== undefined) {
    throw new ClusterError('ENGINE', `--device ${device}: NVIDIA's driver is missing here (${why})`, {
      fix: `Install the driver, make it visible in this container (--gpus all), ${OR_CPU}`,
    });
  }
  if (gpus.length === 0 && !hasDriver()) {
    const what = `${library} is here, but no GPU: nvidia-smi lists none, and the kernel has no driver loaded`;
    throw new ClusterError('ENGINE', `--device ${device}: ${what}`, {
      fix: `Make it visible in this container (--gpus all), put nvidia-smi on PATH if there is one, ${OR_CPU}`,
    });
  }
  // CUDA_VISIBLE_DEVICES has numbers of its own (environment.ts); without nvidia-smi nobody knows how many there are.
  const isCounted = (process.env['CUDA_VISIBLE_DEVICES'] ?? '') === '' && gpus.length > 0;
  if (!isCounted || Number(device.slice('cuda:'.length)) < gpus.length) return;
  throw new ClusterError('ENGINE', `--device ${device}: nvidia-smi lists ${gpus.length} GPU(s)`, {
    fix: `Allowed: auto, cpu, cuda:0 to cuda:${gpus.length - 1}`,
  });
}
