import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { chooseEngine } from '../../../../cli/processes/engine-choice.ts';
import { createLogger, type Log } from '../../../../cli/terminal/log.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { planWorkers } from '../../../../cli/processes/worker-plan.ts';
import { driverLibrary, missingLibraries } from '../../../../worker/native/cuda.ts';
import { ensureTensorFlow } from '../../../../worker/native/ensure.ts';
import { readyTensorFlow } from '../../../../worker/native/engine-manifest.ts';
import { standIns, systemPath } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const hasDriver = !(await missingLibraries([driverLibrary], {})).has(driverLibrary);
const hasCuda = readyTensorFlow()?.device === 'cuda';
const log = createLogger({
  level: 'error',
  format: 'text',
  destination: new Output({ write: () => undefined }, {}),
});

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A machine with a compiler, and with a fake pip that creates a file when it is called. */
function machine(): { folder: string; cache: string; link: string } {
  const folder = temporaryFolder();
  const cache = join(folder, 'cache');
  vi.stubEnv('MNIST_DIST_CACHE', cache);
  standIns(
    { 'c++': ':', pip3: `touch ${folder}/pip-was-called; echo "pip 24.0 from x"` },
    systemPath,
  );
  return { folder, cache, link: join(folder, 'module', 'napi-v8') };
}

describe.skipIf(hasDriver)(
  `without NVIDIA's driver${hasDriver ? ' (skipped: this machine has it)' : ''}`,
  () => {
    it.each(['auto', 'tensorflow'] as const)(
      'rejects a GPU for the engine %s before any download, and says what is missing',
      async (engine) => {
        const { folder, cache } = machine();
        await expect(chooseEngine({ engine, device: 'cuda:0' }, log)).rejects.toMatchObject({
          code: 'ENGINE',
          message: expect.stringMatching(/^--device cuda:0: .*libcuda\.so\.1/),
          fix: expect.stringContaining('--device cpu'),
        });
        expect(existsSync(join(folder, 'pip-was-called'))).toBe(false);
        expect(existsSync(cache)).toBe(false);
      },
    );

    it('rejects setup --gpu in the same way', async () => {
      const { folder, link } = machine();
      await expect(
        ensureTensorFlow({ link, device: 'gpu' }, () => undefined),
      ).rejects.toMatchObject({
        code: 'SETUP',
        message: expect.stringMatching(/^--gpu: .*libcuda\.so\.1/),
      });
      expect(existsSync(join(folder, 'pip-was-called'))).toBe(false);
    });
  },
);

it.skipIf(hasCuda)(
  'plans workers without GPUs when TensorFlow has no CUDA support' +
    (hasCuda ? ' (skipped: TensorFlow has CUDA here)' : ''),
  async () => {
    vi.stubEnv('MNIST_DIST_CACHE', join(temporaryFolder(), 'cache'));
    standIns({ 'nvidia-smi': 'echo "0, NVIDIA H100, GPU-a, 570.1, Disabled"' });
    const choice = { nprocPerNode: 2, engine: 'auto', device: 'auto', threads: 1 } as const;
    expect((await planWorkers(choice, log)).map(({ device }) => device)).toEqual(['auto', 'auto']);
  },
);

it.each(['wasm', 'reference'] as const)(
  'rejects a GPU for the engine %s before anything is started',
  async (engine) => {
    await expect(chooseEngine({ engine, device: 'cuda:0' }, log)).rejects.toMatchObject({
      code: 'ENGINE',
      message: `the engine "${engine}" cannot run on the device "cuda:0"`,
    });
  },
);

it('removes variables that change the bytes of TensorFlow, with a warning', async () => {
  machine();
  vi.stubEnv('TF_ENABLE_ONEDNN_OPTS', '0');
  const warnings: string[] = [];
  const warn = (_: object, message: string) => void warnings.push(message);
  await chooseEngine({ engine: 'tensorflow', device: 'cpu' }, { ...silent, warn }).catch(() => {});
  expect(process.env['TF_ENABLE_ONEDNN_OPTS']).toBeUndefined();
  expect(warnings).toContainEqual(
    expect.stringMatching(/^ignoring TF_ENABLE_ONEDNN_OPTS=0: .*change the bytes/),
  );
});
