import { existsSync, readdirSync } from 'node:fs';
import { onPath, runChild } from './child.ts';
import { PROGRAM_ANSWER_LIMIT_MILLISECONDS } from '../../shared/limits.ts';

export interface Gpu {
  readonly index: number;
  readonly name: string;
  readonly uuid: string;
  readonly memoryMegabytes: number;
  readonly driver: string;
}

const KERNEL_DRIVER_DIRECTORY = '/proc/driver/nvidia/gpus';

/** The NVIDIA GPUs of this machine as nvidia-smi lists them; none if there is no nvidia-smi or it fails. */
export async function listGpus(): Promise<readonly Gpu[]> {
  const program = onPath('nvidia-smi');
  if (program === undefined) return [];
  const query = ['--query-gpu=index,name,uuid,memory.total,driver_version', '--format=csv,noheader,nounits'];
  try {
    const answer = await runChild([program, ...query], {
      limitMilliseconds: PROGRAM_ANSWER_LIMIT_MILLISECONDS,
    });
    return answer.status === 0 ? parseGpus(answer.stdout) : [];
  } catch {
    return [];
  }
}

/** Parses nvidia-smi's CSV; lines that are not a GPU are passed over. */
export function parseGpus(csv: string): readonly Gpu[] {
  return csv.split('\n').flatMap((line) => {
    const [index = '', name = '', uuid = '', memory = '', driver = ''] = line
      .split(',')
      .map((field) => field.trim());
    return /^\d+$/.test(index)
      ? [{ index: Number(index), name, uuid, memoryMegabytes: Number(memory), driver }]
      : [];
  });
}

/** Whether the kernel's NVIDIA driver is loaded; tells in microseconds, but not whether CUDA works. */
export function hasKernelDriver(directory: string = KERNEL_DRIVER_DIRECTORY): boolean {
  try {
    return existsSync(directory) && readdirSync(directory).length > 0;
  } catch {
    return false;
  }
}

/** Whether a GPU is worth the CUDA libraries: nvidia-smi lists one, or the kernel's driver does. */
export async function hasGpu(): Promise<boolean> {
  return (await listGpus()).length > 0 || hasKernelDriver();
}
