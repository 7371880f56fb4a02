// `npm run test:gpu`: the tests that need a GPU, in the environment of a worker on the first GPU.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

const isReady = await prepare().then(
  () => true,
  (error) => {
    process.exitCode = explain(error);
    return false;
  },
);
if (isReady) process.exitCode = await testGpu();

async function testGpu() {
  const { listGpus } = await import('../../../dist/worker/native/gpu-list.js');
  const gpus = await listGpus();
  if (gpus.length === 0) {
    process.stdout.write('skipped: nvidia-smi lists no GPU on this machine\n');
    return 0;
  }
  const { main } = await import('../../../dist/cli/main.js');
  const status = await main(['setup', '--gpu']);
  if (status !== 0) return status;
  const { ensureTensorFlow } = await import('../../../dist/worker/native/ensure.js');
  const { workerEnvironment } = await import('../../../dist/worker/native/device-environment.js');
  const engine = await ensureTensorFlow({ device: 'gpu' }, () => undefined);
  const { findUsableGpus } = await import('../../../dist/worker/native/usable-gpus.js');
  const environment = workerEnvironment(
    engine,
    { threads: 1, device: 'cuda:0' },
    await findUsableGpus(),
  );
  const vitest = join(root, 'node_modules', '.bin', 'vitest');
  const { status: tested } = spawnSync(vitest, ['run', '--project', 'gpu'], {
    cwd: root,
    env: { ...process.env, ...environment, MNIST_DIST_TEST_GPU: '1' },
    stdio: 'inherit',
  });
  return tested ?? 1;
}
