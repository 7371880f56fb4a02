import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createLogger } from '../../../../cli/terminal/log.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { planWorkers } from '../../../../cli/processes/worker-plan.ts';
import { listGpus, parseInstances, type Gpu } from '../../../../worker/native/gpu-list.ts';
import { workerEnvironment } from '../../../../worker/native/device-environment.ts';
import { watchedGpus } from '../../../../worker/native/gpu-telemetry.ts';
import { gpuOf, howMany, usableGpus } from '../../../../worker/native/usable-gpus.ts';
import { fakeEngine } from '../../../fixtures/engine/fake-engine.ts';
import { standIns, systemPath } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

// This has never run on a GPU. The rules come from NVIDIA's documentation and from other programs
// that implement them.

const names = ['aaaa1111', 'aaaa2222', 'bbbb3333', 'cccc4444'];
const uuids = names.map((name) => `GPU-${name}-d72c-4106-c12f-20bd9faed9f6`);
const [A = '', B = '', C = '', D = ''] = uuids;
const four: readonly Gpu[] = uuids.map((uuid, index) => ({
  index,
  name: 'H100',
  uuid,
  driver: '570.1',
}));
const mixed: readonly Gpu[] = four.map((gpu, i) => ({ ...gpu, name: i === 0 ? 'T4' : 'H100' }));
const [M0, M1, M2] = ['MIG-0a000000-1', 'MIG-0b000000-2', 'MIG-0c000000-3'];
/**
 * The first GPU has two MIG instances, the second has one, and the third has none. MIG is off on
 * the fourth.
 */
const sliced: readonly Gpu[] = four.map((gpu, i) => {
  const instances = [[M0, M1], [M2], []][i];
  return instances === undefined ? gpu : { ...gpu, instances };
});

type Case = readonly [
  variables: Record<string, string>,
  machine: readonly Gpu[],
  shown: readonly string[],
];
const cuda = (value: string, machine = four) => [{ CUDA_VISIBLE_DEVICES: value }, machine] as const;

describe('the GPUs that a process may use', () => {
  it.each<Case>([
    // No variable is set.
    [{}, four, [A, B, C, D]],
    [{}, [], []],
    [{}, four.map((gpu) => ({ ...gpu, uuid: '' })), ['0', '1', '2', '3']],
    [{}, sliced, [M0, M1, M2, D]],
    // Numbers, in the order of the list.
    [...cuda('3'), [D]],
    [...cuda('2,3'), [C, D]],
    [...cuda('3,0'), [D, A]],
    [...cuda(' 1 , 0 '), [B, A]],
    [...cuda('0,'), [A]],
    [...cuda('1gpu2,2ampere'), [B, C]],
    [...cuda('2, +3, -0'), [C, D, A]],
    // Values that select no GPU, and invalid entries, which end the list.
    [...cuda(''), []],
    [...cuda('-1'), []],
    [...cuda('0,2,-1,1'), [A, C]],
    [...cuda('0,4,1'), [A]],
    [...cuda('4'), []],
    [...cuda('NoDevFiles'), []],
    [...cuda('one,two,3'), []],
    [...cuda('3,2,one,0'), [D, C]],
    [...cuda(`1,${C}`), [B]],
    [...cuda('0,0'), []],
    [...cuda('0,1,2,1'), []],
    [...cuda('0', []), []],
    // UUIDs, and prefixes of UUIDs.
    [...cuda(B), [B]],
    [...cuda(`${D},${A}`), [D, A]],
    [...cuda('GPU-bbbb'), [C]],
    [...cuda('GPU-BBBB'), [C]],
    [...cuda('GPU-aaaa2,GPU-c'), [B, D]],
    [...cuda('GPU-aaaa'), []],
    [...cuda('GPU-'), []],
    [...cuda('GPU-bbbb,GPU-dddd,GPU-c'), [C]],
    [...cuda(`${C},3`), [C]],
    [...cuda(`${C}, ${D}`), [C]],
    [...cuda(`${C},GPU-bbbb`), []],
    // MIG: an instance by its name; a GPU's number or UUID selects its first instance.
    [...cuda(M1, sliced), [M1]],
    [...cuda(`${M2},${M0}`, sliced), [M2, M0]],
    [...cuda('MIG-0b', sliced), [M1]],
    [...cuda('MIG-0', sliced), []],
    [...cuda(`MIG-${A}/7/0`, sliced), [`MIG-${A}/7/0`]],
    [...cuda(`MIG-${D}/7/0`, sliced), []],
    [...cuda(`${M0},${M0}`, sliced), []],
    [...cuda(`${M0},${D}`, sliced), [M0]],
    [...cuda('0,1,3', sliced), [M0, M2, D]],
    [...cuda('3,2,1', sliced), [D]],
    [...cuda('GPU-aaaa1', sliced), [M0]],
    [...cuda(M0), []],
    // Different GPUs: by default, CUDA counts from the fastest.
    [...cuda('1,0', mixed), ['1', '0']],
    [...cuda('4', mixed), []],
    [...cuda(B, mixed), [B]],
    [{ CUDA_VISIBLE_DEVICES: '1,0', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }, mixed, [B, A]],
    [{ CUDA_VISIBLE_DEVICES: '1', CUDA_DEVICE_ORDER: 'FASTEST_FIRST' }, four, [B]],
    [{ CUDA_DEVICE_ORDER: 'FASTEST_FIRST' }, mixed, ['0', '1', '2', '3']],
    [{ CUDA_DEVICE_ORDER: 'FASTEST_FIRST' }, four, [A, B, C, D]],
    [{}, mixed, [A, B, C, D]],
    // Slurm without CUDA_VISIBLE_DEVICES: its variables contain the node's GPU numbers, with or
    // without a cgroup.
    [{ SLURM_JOB_GPUS: '2,3' }, four, [C, D]],
    [{ SLURM_JOB_GPUS: '0,1', SLURM_STEP_GPUS: '3' }, four, [D]],
    [{ SLURM_JOB_GPUS: '6,7' }, four.slice(0, 2), [A, B]],
    [{ SLURM_JOB_GPUS: '6,7' }, four, []],
    [{ SLURM_JOB_GPUS: '2,3', CUDA_VISIBLE_DEVICES: '0' }, four, [A]],
    [{ SLURM_JOB_GPUS: '' }, four, [A, B, C, D]],
    // Containers: the runtime hides the other GPUs. Additional GPUs that a privileged container
    // sees are excluded.
    [{ NVIDIA_VISIBLE_DEVICES: 'all' }, four, [A, B, C, D]],
    [{ NVIDIA_VISIBLE_DEVICES: 'void' }, four, [A, B, C, D]],
    [{ NVIDIA_VISIBLE_DEVICES: '' }, four, [A, B, C, D]],
    [{ NVIDIA_VISIBLE_DEVICES: '2,3' }, four.slice(0, 2), [A, B]],
    [{ NVIDIA_VISIBLE_DEVICES: 'none' }, four, []],
    [{ NVIDIA_VISIBLE_DEVICES: B }, [four[1] ?? four[0]].filter((gpu) => gpu !== undefined), [B]],
    [{ NVIDIA_VISIBLE_DEVICES: `${D},${B}` }, four, [B, D]],
    [{ NVIDIA_VISIBLE_DEVICES: M1 }, sliced, [M1]],
    [{ NVIDIA_VISIBLE_DEVICES: 'GPU-dddd' }, four, [A, B, C, D]],
    [{ NVIDIA_VISIBLE_DEVICES: D, CUDA_VISIBLE_DEVICES: '0' }, four, [A]],
  ])('are derived from %o', (variables, machine, expected) => {
    const { gpus } = usableGpus(machine, variables);
    expect(gpus.map(({ identifier }) => identifier)).toEqual(expected);
  });

  it.each([
    [
      '0,7,1',
      'this process may use 1 GPU (the driver shows 4; CUDA_VISIBLE_DEVICES=0,7,1; ' +
        '"7" is not the number of a GPU, so CUDA ignores it and everything after it)',
    ],
    ['2,3', 'this process may use 2 GPUs (the driver shows 4; CUDA_VISIBLE_DEVICES=2,3)'],
    ['-1', 'this process may use no GPU (the driver shows 4; CUDA_VISIBLE_DEVICES=-1)'],
    [
      'NoDevFiles',
      'this process may use no GPU (the driver shows 4; CUDA_VISIBLE_DEVICES=NoDevFiles)',
    ],
    [
      '0,0',
      'this process may use no GPU (the driver shows 4; CUDA_VISIBLE_DEVICES=0,0; ' +
        '"0" is listed twice, so CUDA shows no GPU)',
    ],
    [
      'GPU-aaaa',
      'this process may use no GPU (the driver shows 4; CUDA_VISIBLE_DEVICES=GPU-aaaa; ' +
        '"GPU-aaaa" matches the UUIDs of 2 GPUs, so CUDA ignores it and everything after it)',
    ],
  ])('are described in words for CUDA_VISIBLE_DEVICES=%s', (value, words) => {
    expect(howMany(usableGpus(four, { CUDA_VISIBLE_DEVICES: value }))).toBe(words);
  });
});

describe('a worker', () => {
  const native = {
    moduleDirectory: '/m',
    binding: '/m/b',
    version: '2.21.0',
    source: 's',
    library: '/l',
    ...({ device: 'cuda', environment: {} } as const),
  };
  const environmentOf = (
    device: 'auto' | 'cpu' | `cuda:${number}`,
    variables: Record<string, string>,
    machine = four,
  ) => workerEnvironment(native, { threads: 1, device }, usableGpus(machine, variables), variables);

  it.each([
    ['auto', '', '-1', ''],
    ['auto', '-1', '-1', ''],
    ['auto', '3', D, D],
    ['cuda:0', '3', D, D],
    ['cuda:1', '2,3', D, D],
    ['cpu', '2,3', '-1', ''],
  ] as const)('on %s with CUDA_VISIBLE_DEVICES="%s" is shown %s', (device, value, shown, own) => {
    const found = environmentOf(device, { CUDA_VISIBLE_DEVICES: value });
    expect(found).toMatchObject({ CUDA_VISIBLE_DEVICES: shown, MNIST_DIST_INTERNAL_GPU: own });
  });

  it("keeps CUDA's order for a number, and reports no GPU if it is ambiguous", async () => {
    const found = environmentOf('auto', { CUDA_VISIBLE_DEVICES: '1' }, mixed);
    expect(found).toMatchObject({ CUDA_VISIBLE_DEVICES: '1', CUDA_DEVICE_ORDER: 'FASTEST_FIRST' });
    expect(await watchedGpus(found)).toEqual({ indices: new Set() });
    expect(environmentOf('auto', {}, mixed)['CUDA_DEVICE_ORDER']).toBe('PCI_BUS_ID');
  });

  it('may not use a different GPU, and the error lists those that it may use', () => {
    const usable = usableGpus(four, { CUDA_VISIBLE_DEVICES: '3' });
    expect(() => gpuOf('cuda:1', usable)).toThrow(
      expect.objectContaining({
        code: 'ENGINE',
        message:
          '--device cuda:1: this process may use 1 GPU ' +
          '(the driver shows 4; CUDA_VISIBLE_DEVICES=3)',
        fix: 'allowed: auto, cpu, cuda:0',
      }),
    );
  });

  it("reports its GPU, or its instance's GPU, by UUID, or else all that it may use", async () => {
    expect(await watchedGpus(environmentOf('cuda:1', { CUDA_VISIBLE_DEVICES: '2,3' }))).toEqual({
      uuid: D,
    });
    expect(await watchedGpus(environmentOf('auto', { CUDA_VISIBLE_DEVICES: M2 }, sliced))).toEqual({
      uuid: B,
    });
    expect(await watchedGpus(environmentOf('cpu', {}))).toEqual({ indices: new Set() });
    standIns({ 'nvidia-smi': list(four) });
    expect(await watchedGpus({ CUDA_VISIBLE_DEVICES: '3,1' })).toEqual({
      indices: new Set([3, 1]),
    });
  });
});

const list = (machine: readonly Gpu[]): string =>
  machine
    .map(({ index, name, uuid }) => `echo "${index}, ${name}, ${uuid}, 570.1, Disabled"`)
    .join('\n');

describe('`local -n`', () => {
  const lines: string[] = [];
  const log = createLogger({
    ...({ level: 'warn', format: 'text' } as const),
    destination: new Output({ write: (text) => lines.push(text) }, {}),
  });
  const plan = async (nprocPerNode: number | 'auto' | 'gpu', visible: string | undefined) => {
    fakeEngine('cuda');
    standIns({ 'nvidia-smi': list(four) }, systemPath);
    vi.stubEnv('CUDA_VISIBLE_DEVICES', visible);
    const plans = await planWorkers(
      { nprocPerNode, engine: 'tensorflow', device: 'auto', threads: 1 },
      log,
    );
    return plans.map(({ device, environment }) => [device, environment['CUDA_VISIBLE_DEVICES']]);
  };

  it.each([
    [
      'gpu',
      undefined,
      [
        ['cuda:0', A],
        ['cuda:1', B],
        ['cuda:2', C],
        ['cuda:3', D],
      ],
    ],
    [
      'gpu',
      '2,3',
      [
        ['cuda:0', C],
        ['cuda:1', D],
      ],
    ],
    ['auto', '3', [['cuda:0', D]]],
    [
      2,
      '3',
      [
        ['cuda:0', D],
        ['cuda:0', D],
      ],
    ],
    [
      3,
      '3,GPU-a',
      [
        ['cuda:0', D],
        ['cuda:0', D],
        ['cuda:0', D],
      ],
    ],
    [
      2,
      '',
      [
        ['auto', '-1'],
        ['auto', '-1'],
      ],
    ],
    [1, '-1', [['auto', '-1']]],
  ] as const)(
    '%s assigns GPUs to workers with CUDA_VISIBLE_DEVICES=%s',
    async (count, visible, expected) => {
      lines.length = 0;
      expect(await plan(count, visible)).toEqual(expected);
      expect(lines.some((line) => line.includes('"GPU-a" is not the number'))).toBe(
        visible === '3,GPU-a',
      );
    },
  );

  it('gpu is rejected if this process may not use any GPU', async () => {
    await expect(plan('gpu', '-1')).rejects.toMatchObject({
      code: 'ENGINE',
      message:
        '--nproc-per-node gpu, but this process may use no GPU ' +
        '(the driver shows 4; CUDA_VISIBLE_DEVICES=-1)',
    });
  });
});

describe('the list of GPUs', () => {
  it('has the MIG instances that nvidia-smi -L prints below each GPU', async () => {
    const answer = `GPU 0: NVIDIA A100 (UUID: ${A})
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1c.3g.20gb  Device  1: (UUID: MIG-${A}/2/0)
GPU 1: NVIDIA A100 (UUID: ${B})
`;
    const instances = ['MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f', `MIG-${A}/2/0`];
    expect([...parseInstances(answer)]).toEqual([
      [0, instances],
      [1, []],
    ]);
    const script = `if [ "$1" = -L ]; then cat <<'END'
${answer}END
else echo "0, A100, ${A}, 570, Enabled"; echo "1, A100, ${B}, 570, [N/A]"; fi`;
    standIns({ 'nvidia-smi': script }, systemPath);
    expect(await listGpus()).toEqual([
      { index: 0, name: 'A100', uuid: A, driver: '570', instances },
      { index: 1, name: 'A100', uuid: B, driver: '570' },
    ]);
  });

  it('comes from the kernel driver without nvidia-smi, and omits unusable GPUs', async () => {
    standIns({});
    const [gpus, devices] = [join(temporaryFolder(), 'gpus'), temporaryFolder()];
    const add = (bus: string, lines: string) => {
      mkdirSync(join(gpus, bus), { recursive: true });
      writeFileSync(join(gpus, bus, 'information'), lines);
    };
    add('0000:4c:00.0', `Model: \t\t NVIDIA H100\nGPU UUID: \t ${B}\nDevice Minor: \t 1\n`);
    add(
      '0000:07:00.0',
      `Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-????????-????\nDevice Minor: \t 0\n`,
    );
    add('0000:48:00.0', `Model: \t\t NVIDIA H100\nGPU UUID: \t ${C}\nDevice Minor: \t 2\n`);
    add('0000:50:00.0', `Model: \t\t NVIDIA H100\nDevice Minor: \t 3\nGPU Excluded:\t Yes\n`);
    for (const name of ['nvidia0', 'nvidia1', 'nvidia3']) writeFileSync(join(devices, name), '');
    expect(await listGpus({ gpus, devices })).toEqual([
      { index: 0, name: 'NVIDIA H100', uuid: '', driver: '' },
      { index: 1, name: 'NVIDIA H100', uuid: B, driver: '' },
    ]);
    expect(await listGpus({ gpus: '/nowhere', devices })).toEqual([]);
  });
});
