import { closeSync, constants, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { onPath, runChild } from './run-program.ts';
import { PROGRAM_ANSWER_LIMIT_MILLISECONDS } from '../../shared/limits.ts';

/** An NVIDIA GPU that the driver shows to this process. */
export interface Gpu {
  /** The index in nvidia-smi: in PCI bus order, among the GPUs that the device cgroup allows. */
  readonly index: number;
  readonly name: string;
  /** "GPU-" followed by a UUID; empty if the driver does not report it. */
  readonly uuid: string;
  readonly driver: string;
  /** CUDA's names for the GPU's MIG instances, in order; undefined if MIG is off. */
  readonly instances?: readonly string[];
}

/** Where the kernel driver lists its GPUs; tests use other paths. */
export interface DriverPlaces {
  readonly gpus: string;
  readonly devices: string;
}

const ordinaryPlaces: DriverPlaces = { gpus: '/proc/driver/nvidia/gpus', devices: '/dev' };
const UUID = /^GPU-[0-9a-f][0-9a-f-]*$/i;

/**
 * The NVIDIA GPUs that the driver shows to this process, in PCI bus order: from nvidia-smi or, in a
 * container without it, from the kernel driver. Empty if there is no driver.
 */
export async function listGpus(places: DriverPlaces = ordinaryPlaces): Promise<readonly Gpu[]> {
  const program = onPath('nvidia-smi');
  const listed = program === undefined ? [] : parseGpus(await answerOf([program, ...gpuQuery]));
  if (listed.length === 0) return kernelGpus(places);
  if (program === undefined || !listed.some(({ instances }) => instances !== undefined))
    return listed;
  const instances = parseInstances(await answerOf([program, '-L']));
  return listed.map((gpu) =>
    gpu.instances === undefined ? gpu : { ...gpu, instances: instances.get(gpu.index) ?? [] },
  );
}

const gpuQuery = [
  '--query-gpu=index,name,uuid,driver_version,mig.mode.current',
  '--format=csv,noheader,nounits',
] as const;

/** The program's output; empty if the program fails or times out. */
async function answerOf(command: readonly string[]): Promise<string> {
  try {
    const answer = await runChild(command, {
      limitMilliseconds: PROGRAM_ANSWER_LIMIT_MILLISECONDS,
    });
    return answer.status === 0 ? answer.stdout : '';
  } catch {
    return '';
  }
}

/** Parses nvidia-smi's CSV output; skips lines that do not describe a GPU. */
export function parseGpus(csv: string): readonly Gpu[] {
  return csv.split('\n').flatMap((line) => {
    const [index = '', name = '', uuid = '', driver = '', mig = ''] = line
      .split(',')
      .map((field) => field.trim());
    if (!/^\d+$/.test(index)) return [];
    const gpu = { index: Number(index), name, uuid: UUID.test(uuid) ? uuid : '', driver };
    return [/^enabled$/i.test(mig) ? { ...gpu, instances: [] } : gpu];
  });
}

/**
 * Each GPU's MIG instances, by the index of the GPU. `nvidia-smi -L` prints the instances below
 * their GPU.
 */
export function parseInstances(list: string): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>();
  let current: string[] = [];
  for (const line of list.split('\n')) {
    const index = /^GPU (\d+):/.exec(line)?.[1];
    const instance = /^\s+MIG .*\(UUID: (MIG-[^\s)]+)\)/.exec(line)?.[1];
    if (index !== undefined) found.set(Number(index), (current = []));
    else if (instance !== undefined) current.push(instance);
  }
  return found;
}

/**
 * The GPUs that the kernel driver lists. A device cgroup does not shorten that list, so each device
 * is opened to find out whether this process may use it.
 */
function kernelGpus({ gpus, devices }: DriverPlaces): Gpu[] {
  return namesIn(gpus)
    .toSorted()
    .map((bus) => readText(join(gpus, bus, 'information')))
    .filter((information) => !/^GPU Excluded:\s*Yes/m.test(information))
    .filter((information) => {
      const minor = /^Device Minor:\s*(\d+)/m.exec(information)?.[1];
      return minor === undefined || canBeOpened(join(devices, `nvidia${minor}`));
    })
    .map((information, index) => {
      const name = /^Model:\s*(.+)$/m.exec(information)?.[1]?.trim() ?? '';
      const uuid = /^GPU UUID:\s*(\S+)/m.exec(information)?.[1] ?? '';
      return { index, name, uuid: UUID.test(uuid) ? uuid : '', driver: '' };
    });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function canBeOpened(device: string): boolean {
  try {
    closeSync(openSync(device, constants.O_RDWR));
    return true;
  } catch {
    return false;
  }
}
