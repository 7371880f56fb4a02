import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { cudaLibraryPath, missingLibraries } from '../../../../worker/native/cuda.ts';
import { listGpus } from '../../../../worker/native/gpu-list.ts';
import { workerEnvironment } from '../../../../worker/native/device-environment.ts';
import { withoutGreetings } from '../../../../worker/native/load.ts';
import type { NativeEngine } from '../../../../worker/native/engine-manifest.ts';
import { usableGpus } from '../../../../worker/native/usable-gpus.ts';
import { standIns } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const TWO_GPUS = ['GPU-a', 'GPU-b'].map((uuid, index) => ({
  index,
  name: 'H100',
  uuid,
  driver: '570.1',
}));

function engine(device: 'cpu' | 'cuda'): NativeEngine {
  const environment: Record<string, string> =
    device === 'cuda' ? { LD_LIBRARY_PATH: '/cuda/lib' } : {};
  return {
    moduleDirectory: '/m',
    binding: '/m/b',
    version: '2.21.0',
    device,
    source: 's',
    library: '/l',
    environment,
  };
}

describe('the list of GPUs', () => {
  test('is parsed from the output of nvidia-smi', async () => {
    standIns({
      'nvidia-smi':
        'echo "0, NVIDIA H100, GPU-a, 570.1, Disabled"; echo "1, NVIDIA H100, GPU-b, 570.1, [N/A]"',
    });
    const gpus = await listGpus();
    expect(gpus.map(({ index, name, uuid }) => [index, name, uuid])).toEqual([
      [0, 'NVIDIA H100', 'GPU-a'],
      [1, 'NVIDIA H100', 'GPU-b'],
    ]);
    expect(gpus[1]).toMatchObject({ driver: '570.1' });
  });

  test.each([
    ['is missing', {}],
    ['finds no driver', { 'nvidia-smi': 'echo "NVIDIA-SMI has failed"; exit 9' }],
    ['finds no device', { 'nvidia-smi': 'echo "No devices were found"' }],
  ])('is empty when nvidia-smi %s', async (_, scripts) => {
    standIns(scripts);
    expect(await listGpus()).toEqual([]);
  });
});

describe("a worker's environment", () => {
  const environment = (
    device: 'auto' | 'cpu' | `cuda:${number}`,
    inherited: NodeJS.ProcessEnv = {},
    kind: 'cpu' | 'cuda' = 'cuda',
  ) =>
    workerEnvironment(
      engine(kind),
      { threads: 2, device },
      usableGpus(TWO_GPUS, inherited),
      inherited,
    );

  test('fixes the number of threads and makes operations deterministic', () => {
    expect(environment('cpu')).toMatchObject({
      TF_NUM_INTRAOP_THREADS: '2',
      TF_NUM_INTEROP_THREADS: '-1',
      TF_DETERMINISTIC_OPS: '1',
      TF_CPP_MIN_LOG_LEVEL: '2',
      CUDA_VISIBLE_DEVICES: '-1',
    });
  });

  test("puts the CUDA wheels first in the linker's path and sets the compile cache", () => {
    const found = environment('cuda:0', { LD_LIBRARY_PATH: '/other', MNIST_DIST_CACHE: '/cache' });
    expect(found['LD_LIBRARY_PATH']).toBe('/cuda/lib:/other');
    expect(found['CUDA_CACHE_PATH']).toBe('/cache/cuda');
    expect(found['TF_FORCE_GPU_ALLOW_GROWTH']).toBe('true');
  });

  test('rejects a GPU that this process may not use, and any GPU if there is no CUDA', () => {
    expect(() => environment('cuda:1', { CUDA_VISIBLE_DEVICES: '1' })).toThrow(
      /cuda:1.*may use 1 GPU/,
    );
    expect(() => environment('cuda:0', {}, 'cpu')).toThrow(/without CUDA/);
  });
});

describe('CUDA libraries', () => {
  test('are found in the lib folders next to TensorFlow', () => {
    const site = temporaryFolder();
    expect(cudaLibraryPath(join(site, 'tensorflow'))).toBeUndefined();
    for (const path of ['cudnn/lib', 'cublas/lib', 'cuda_nvcc/bin'])
      mkdirSync(join(site, 'nvidia', path), { recursive: true });
    expect(cudaLibraryPath(join(site, 'tensorflow'))).toBe(
      [join(site, 'nvidia/cublas/lib'), join(site, 'nvidia/cudnn/lib')].join(':'),
    );
  });

  test('are found by the linker in the given environment; missing ones are reported', async () => {
    const folder = temporaryFolder();
    symlinkSync(libraryOfThisProcess('libm.so.6'), join(folder, 'libstandin.so.12'));
    const names = ['libstandin.so.12', 'libnowhere.so.9'];
    const missing = await missingLibraries(names, { LD_LIBRARY_PATH: folder });
    expect([...missing.keys()]).toEqual(['libnowhere.so.9']);
    expect(missing.get('libnowhere.so.9')).toMatch(/cannot open shared object file/);
    expect([...(await missingLibraries(names, {})).keys()]).toEqual(names);
  });
});

test("TensorFlow's start-up log is reduced to warnings and errors", () => {
  const said = [
    'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR',
    'I0000 00:00:1795478101.127340    9547 port.cc:153] oneDNN custom operations are on.',
    'To enable the following instructions: AVX2',
    'E0000 00:00:1795478101.127340    9547 cuda_dnn.cc:1] something broke',
    'and more of it',
    '',
  ];
  expect(withoutGreetings(said.join('\n'))).toEqual([said[3], said[4]]);
});

function libraryOfThisProcess(name: string): string {
  const report: unknown = process.report.getReport();
  const objects: unknown =
    typeof report === 'object' && report !== null && 'sharedObjects' in report
      ? report.sharedObjects
      : [];
  const found = Array.isArray(objects)
    ? objects.map(String).find((path) => path.endsWith(name))
    : undefined;
  if (found === undefined) throw new Error(`this process has no ${name}`);
  return found;
}
