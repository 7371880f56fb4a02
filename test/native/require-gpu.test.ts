import { describe, expect, it, vi } from 'vitest';
import { requireGpu } from '../../worker/native/require-gpu.ts';
import { standIns } from './stand-ins.ts';

/** The C library's, which the linker of every process finds. */
const HERE = 'libm.so.6';
const TWO_GPUS = {
  'nvidia-smi': 'echo "0, NVIDIA H100, GPU-a, 81559, 570.1"; echo "1, NVIDIA H100, GPU-b, 81559, 570.1"',
};

function look(
  device: `cuda:${number}`,
  scripts: Record<string, string>,
  { library = HERE, isLoaded = false, visible = '' } = {},
) {
  standIns(scripts);
  vi.stubEnv('CUDA_VISIBLE_DEVICES', visible);
  return requireGpu(device, { library, hasDriver: () => isLoaded });
}

describe('a GPU that is asked for', () => {
  it.each<[string, () => Promise<void>]>([
    ['nvidia-smi lists it', () => look('cuda:1', TWO_GPUS)],
    ['the kernel knows one and nobody counts them', () => look('cuda:7', {}, { isLoaded: true })],
    ['it counts among the visible ones', () => look('cuda:2', TWO_GPUS, { visible: '0,1,0' })],
  ])('is there when %s', async (_, there) => {
    await expect(there()).resolves.toBeUndefined();
  });

  it.each<[string, RegExp, RegExp, () => Promise<void>]>([
    [
      'the driver is missing',
      /^--device cuda:0: NVIDIA's driver is missing here \(libnowhere\.so\.9: cannot open shared object file/,
      /Install the driver/,
      () => look('cuda:0', TWO_GPUS, { library: 'libnowhere.so.9', isLoaded: true }),
    ],
    [
      'there is a driver and nothing else',
      /^--device cuda:0: libm\.so\.6 is here, but no GPU/,
      /--device cpu/,
      () => look('cuda:0', { 'nvidia-smi': 'echo "No devices were found"; exit 6' }),
    ],
    [
      'there are fewer',
      /^--device cuda:2: nvidia-smi lists 2 GPU/,
      /cuda:0 to cuda:1/,
      () => look('cuda:2', TWO_GPUS),
    ],
  ])('is not there when %s, which is said', async (_, message, fix, missing) => {
    await expect(missing()).rejects.toMatchObject({
      code: 'ENGINE',
      message: expect.stringMatching(message),
      fix: expect.stringMatching(fix),
    });
  });
});
