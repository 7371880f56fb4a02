import { describe, expect, it, vi } from 'vitest';
import { requireGpu } from '../../../../worker/native/require-gpu.ts';
import { findUsableGpus } from '../../../../worker/native/usable-gpus.ts';
import { standIns } from '../../../fixtures/engine/fake-programs.ts';

/** A library that the linker finds in every process, as part of the C library. */
const HERE = 'libm.so.6';
const TWO_GPUS = {
  'nvidia-smi':
    'echo "0, NVIDIA H100, GPU-a, 570.1, Disabled"; echo "1, NVIDIA H100, GPU-b, 570.1, Disabled"',
};

function look(
  device: `cuda:${number}`,
  scripts: Record<string, string>,
  { library = HERE, visible }: { library?: string; visible?: string } = {},
) {
  standIns(scripts);
  vi.stubEnv('CUDA_VISIBLE_DEVICES', visible);
  return findUsableGpus().then((usable) => requireGpu(device, usable, library));
}

describe('a GPU that the user chose', () => {
  it.each<[string, () => Promise<void>]>([
    ['nvidia-smi lists it', () => look('cuda:1', TWO_GPUS)],
    ['CUDA_VISIBLE_DEVICES selects it', () => look('cuda:0', TWO_GPUS, { visible: '1' })],
  ])('is available when %s', async (_, there) => {
    await expect(there()).resolves.toBeUndefined();
  });

  it.each<[string, RegExp, RegExp, () => Promise<void>]>([
    [
      'the driver is missing',
      /^--device cuda:0: the NVIDIA driver is missing \(libnowhere\.so\.9: cannot open shared/,
      /install the driver/,
      () => look('cuda:0', TWO_GPUS, { library: 'libnowhere.so.9' }),
    ],
    [
      'the machine has a driver but no GPU',
      /^--device cuda:0: libm\.so\.6 was found, but no GPU/,
      /--device cpu/,
      () => look('cuda:0', { 'nvidia-smi': 'echo "No devices were found"; exit 6' }),
    ],
    [
      'this process may use fewer GPUs',
      /^--device cuda:2: this process may use 2 GPUs/,
      /cuda:0 to cuda:1/,
      () => look('cuda:2', TWO_GPUS),
    ],
  ])('is rejected with the reason when %s', async (_, message, fix, missing) => {
    await expect(missing()).rejects.toMatchObject({
      code: 'ENGINE',
      message: expect.stringMatching(message),
      fix: expect.stringMatching(fix),
    });
  });
});
