import { ClusterError } from '../../shared/errors.ts';
import { listGpus, type Gpu } from './gpu-list.ts';

/** A GPU, or a MIG instance of one, that this process may compute on. */
export interface UsableGpu {
  /** The value of CUDA_VISIBLE_DEVICES with which CUDA shows only this GPU. */
  readonly identifier: string;
  /** The CUDA_DEVICE_ORDER to which a numeric identifier refers. */
  readonly order: DeviceOrder;
  /**
   * The GPU or, for an instance, the GPU that it belongs to. Undefined if CUDA's order may differ
   * from nvidia-smi's.
   */
  readonly gpu: Gpu | undefined;
}

type DeviceOrder = 'FASTEST_FIRST' | 'PCI_BUS_ID';

/** The GPUs that this process may use; `cuda:N` is the one at index N. */
export interface UsableGpus {
  readonly gpus: readonly UsableGpu[];
  /** The number of GPUs that the driver shows, usable or not. */
  readonly shown: number;
  /** The variable that selects among them, as `NAME=value`; undefined if none does. */
  readonly choice: string | undefined;
  /** The part of that variable that is ignored, and why. */
  readonly problem: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const noGpus: UsableGpus = { gpus: [], shown: 0, choice: undefined, problem: undefined };

export async function findUsableGpus(environment: Environment = process.env): Promise<UsableGpus> {
  return usableGpus(await listGpus(), environment);
}

/**
 * The GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, by CUDA's rules; otherwise
 * those that Slurm allocated; otherwise those whose UUIDs the container was given; otherwise all
 * that the driver shows. The driver does not show GPUs that a device cgroup or a container hides,
 * and the numbers in CUDA_VISIBLE_DEVICES skip them.
 */
export function usableGpus(machine: readonly Gpu[], environment: Environment): UsableGpus {
  const { CUDA_VISIBLE_DEVICES: visible, SLURM_STEP_GPUS: step, SLURM_JOB_GPUS: job } = environment;
  const { NVIDIA_VISIBLE_DEVICES: container } = environment;
  if (visible !== undefined)
    return visibleToCuda(visible, machine, environment['CUDA_DEVICE_ORDER']);
  if (filled(step)) return allocated('SLURM_STEP_GPUS', step, machine, environment);
  if (filled(job)) return allocated('SLURM_JOB_GPUS', job, machine, environment);
  if (filled(container)) return givenToContainer(container, machine, environment);
  return allOf(machine, environment);
}

/**
 * The GPU for a worker on this device; undefined for the CPU. Throws ENGINE for a GPU that this
 * process may not use.
 */
export function gpuOf(
  device: 'auto' | 'cpu' | `cuda:${number}`,
  usable: UsableGpus,
): UsableGpu | undefined {
  if (device === 'cpu') return undefined;
  if (device === 'auto') return usable.gpus[0];
  const gpu = usable.gpus[Number(device.slice('cuda:'.length))];
  if (gpu !== undefined) return gpu;
  const last = usable.gpus.length - 1;
  const allowed =
    last < 0 ? 'auto, cpu' : last === 0 ? 'auto, cpu, cuda:0' : `auto, cpu, cuda:0 to cuda:${last}`;
  throw new ClusterError('ENGINE', `--device ${device}: ${howMany(usable)}`, {
    fix: `allowed: ${allowed}`,
  });
}

/** "this process may use 2 GPUs (the driver shows 4; CUDA_VISIBLE_DEVICES=2,3)" */
export function howMany({ gpus, shown, choice, problem }: UsableGpus): string {
  const here = `the driver shows ${shown === 0 ? 'none' : shown}`;
  const count = gpus.length === 0 ? 'no GPU' : gpus.length === 1 ? '1 GPU' : `${gpus.length} GPUs`;
  const because = [here, choice, problem].filter((text) => text !== undefined).join('; ');
  return `this process may use ${count} (${because})`;
}

function filled(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

// --- how CUDA reads CUDA_VISIBLE_DEVICES

/** The CUDA device that an entry selects, or why the list ends at this entry. */
type Entry = UsableGpu | { readonly end: string | undefined };

/**
 * Applies CUDA's rules. The first entry decides whether the list consists of numbers, UUIDs of GPUs
 * or names of MIG instances. The list ends at the first entry that is of a different kind, selects
 * no device, or is -1. An empty list, or one with a duplicate, selects no GPU.
 */
function visibleToCuda(
  text: string,
  machine: readonly Gpu[],
  order: string | undefined,
): UsableGpus {
  const choice = `CUDA_VISIBLE_DEVICES=${text}`;
  const read = text.startsWith('GPU-')
    ? (entry: string) => byUuid(entry, machine)
    : text.startsWith('MIG-')
      ? (entry: string) => byInstance(entry, machine)
      : (entry: string) => byNumber(entry, machine, orderOf(order));
  const gpus: UsableGpu[] = [];
  for (const entry of text === '' ? [] : text.split(',')) {
    const found = read(entry);
    if ('end' in found) return { gpus, shown: machine.length, choice, problem: found.end };
    if (gpus.some(({ identifier }) => identifier === found.identifier)) {
      const problem = `"${entry}" is listed twice, so CUDA shows no GPU`;
      return { gpus: [], shown: machine.length, choice, problem };
    }
    gpus.push(found);
  }
  return { gpus, shown: machine.length, choice, problem: undefined };
}

/** The value that Slurm sets for a job without GPUs. */
const SLURM_NONE = 'NoDevFiles';
const IGNORED = 'so CUDA ignores it and everything after it';

/** Parses a number as strtoul does: "1gpu" is 1. Text without a leading number selects no GPU. */
function byNumber(entry: string, machine: readonly Gpu[], order: DeviceOrder): Entry {
  if (entry === SLURM_NONE) return { end: undefined };
  const text = /^[+-]?\d+/.exec(entry.trim())?.[0];
  const number = text === undefined ? undefined : Number(text);
  if (number !== undefined && number < 0) return { end: undefined };
  const gpu = number === undefined ? undefined : machine[number];
  if (number === undefined || gpu === undefined)
    return { end: `"${entry}" is not the number of a GPU, ${IGNORED}` };
  if (order === 'FASTEST_FIRST' && !areAlike(machine))
    return { identifier: String(number), order, gpu: undefined };
  return deviceOf(gpu, entry);
}

function byUuid(entry: string, machine: readonly Gpu[]): Entry {
  const wanted = entry.toLowerCase();
  const found = machine.filter(({ uuid }) => uuid !== '' && uuid.toLowerCase().startsWith(wanted));
  const [gpu] = found;
  if (gpu !== undefined && found.length === 1 && wanted.startsWith('gpu-'))
    return deviceOf(gpu, entry);
  const why =
    found.length > 1 ? `matches the UUIDs of ${found.length} GPUs` : "matches no GPU's UUID";
  return { end: `"${entry}" ${why}, ${IGNORED}` };
}

/**
 * Finds an instance by its UUID or by its name in older drivers: MIG-GPU-<UUID of the GPU>/<GPU
 * instance>/<compute instance>.
 */
function byInstance(entry: string, machine: readonly Gpu[]): Entry {
  const wanted = entry.toLowerCase();
  const old = /^mig-(gpu-[^/]+)\/\d+\/\d+$/.exec(wanted)?.[1];
  const found = machine.flatMap((gpu) => {
    if (gpu.instances === undefined) return [];
    if (old !== undefined)
      return gpu.uuid.toLowerCase() === old ? [{ gpu, identifier: entry }] : [];
    const names = gpu.instances.filter((name) => name.toLowerCase().startsWith(wanted));
    return names.map((identifier) => ({ gpu, identifier }));
  });
  const [only] = found;
  if (only !== undefined && found.length === 1 && wanted.startsWith('mig-'))
    return { ...only, order: 'PCI_BUS_ID' };
  return { end: `"${entry}" is not a MIG instance, ${IGNORED}` };
}

/** The GPU itself, or, if MIG is on, its first instance, as in CUDA. */
function deviceOf(gpu: Gpu, entry: string): Entry {
  return (
    devicesOf(gpu)[0] ?? {
      end: `"${entry}" is a GPU in MIG mode without an instance, ${IGNORED}`,
    }
  );
}

function devicesOf(gpu: Gpu): UsableGpu[] {
  const identifiers = gpu.instances ?? [gpu.uuid === '' ? String(gpu.index) : gpu.uuid];
  return identifiers.map((identifier) => ({ identifier, order: 'PCI_BUS_ID', gpu }));
}

function orderOf(variable: string | undefined): DeviceOrder {
  return variable === 'PCI_BUS_ID' ? 'PCI_BUS_ID' : 'FASTEST_FIRST';
}

/** Whether all GPUs are of the same model, in which case CUDA numbers them in PCI bus order. */
function areAlike(machine: readonly Gpu[]): boolean {
  return new Set(machine.map(({ name }) => name)).size <= 1;
}

// --- without CUDA_VISIBLE_DEVICES

/** All GPUs, in nvidia-smi's order unless CUDA_DEVICE_ORDER is FASTEST_FIRST. */
function allOf(machine: readonly Gpu[], environment: Environment): UsableGpus {
  const isByBus = environment['CUDA_DEVICE_ORDER'] !== 'FASTEST_FIRST' || areAlike(machine);
  const gpus = isByBus
    ? machine.flatMap(devicesOf)
    : machine.map(
        (_, i) => ({ identifier: String(i), order: 'FASTEST_FIRST', gpu: undefined }) as const,
      );
  return { gpus, shown: machine.length, choice: undefined, problem: undefined };
}

function only(gpus: readonly Gpu[], machine: readonly Gpu[], choice: string): UsableGpus {
  const problem = gpus.length > 0 ? undefined : 'it lists no GPU that the driver shows';
  return { gpus: gpus.flatMap(devicesOf), shown: machine.length, choice, problem };
}

/**
 * Slurm numbers the GPUs of the whole node. If no more GPUs are visible than were allocated, a
 * cgroup hides the others, and the visible GPUs are the allocated ones under different numbers.
 */
function allocated(
  variable: string,
  text: string,
  machine: readonly Gpu[],
  environment: Environment,
): UsableGpus {
  const numbers = text.split(',').map((entry) => entry.trim());
  if (machine.length <= numbers.length) return allOf(machine, environment);
  return only(
    machine.filter(({ index }) => numbers.includes(String(index))),
    machine,
    `${variable}=${text}`,
  );
}

/**
 * The container runtime has already read NVIDIA_VISIBLE_DEVICES and hidden the other GPUs. Numbers
 * refer to the host's GPUs, "all" is the default in images, and "void" means that the GPUs came
 * from CDI, so none of these selects among the GPUs that are shown. UUIDs select among them if more
 * GPUs are shown, as in a privileged container. "none" means no GPU, even in a privileged
 * container.
 */
function givenToContainer(
  text: string,
  machine: readonly Gpu[],
  environment: Environment,
): UsableGpus {
  const choice = `NVIDIA_VISIBLE_DEVICES=${text}`;
  if (text === 'none') return { gpus: [], shown: machine.length, choice, problem: undefined };
  const entries = text.split(',').map((entry) => entry.trim().toLowerCase());
  if (!entries.every((entry) => /^(gpu|mig)-/.test(entry))) return allOf(machine, environment);
  const isGiven = (name: string): boolean =>
    entries.some((entry) => name.toLowerCase().startsWith(entry));
  const given = machine.flatMap((gpu) => {
    if (isGiven(gpu.uuid)) return [gpu];
    const instances = gpu.instances?.filter(isGiven) ?? [];
    return instances.length === 0 ? [] : [{ ...gpu, instances }];
  });
  // If none matches, the runtime shows the GPUs under different names and has already selected
  // them.
  return given.length === 0 ? allOf(machine, environment) : only(given, machine, choice);
}
