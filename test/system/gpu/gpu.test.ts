import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEngine, summedByShard } from '../../../worker/engines/create.ts';
import { engineContract } from '../../fixtures/engine/engine-contract.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/**
 * Set by run.mjs, which also prepares the environment, because the linker reads it before a process
 * starts.
 */
const isPrepared = process.env['MNIST_DIST_TEST_GPU'] === '1';
const missing = isPrepared ? undefined : 'npm run test:gpu runs it on a machine with a GPU';
const SHORT = ['--engine', 'tensorflow', '--device', 'cuda:0', '--steps', '50'];

// A GPU does not have to flush subnormals as the kernels do. If it does not, the worker sums shard
// by shard and must still fulfil the contract.
engineContract(
  'tensorflow on a GPU, summed shard by shard',
  async ({ shape, kernels }) => {
    const engine = await createEngine('tensorflow', shape, kernels, {
      threads: 1,
      device: 'cuda:0',
    });
    return summedByShard(engine, shape.model, Math.max(...shape.shardCounts), kernels) ?? engine;
  },
  missing,
);

describe.skipIf(!isPrepared)(`a run on a GPU: ${missing}`, () => {
  it('has the same fingerprint and bytes when it is repeated', async () => {
    const [first, second] = [
      await train([...SHORT, '-n', '1']),
      await train([...SHORT, '-n', '1']),
    ];
    expect(first.record.engine?.description.device).toMatch(/^cuda:0/);
    expect(second.record.engine?.fingerprint).toBe(first.record.engine?.fingerprint);
    expect(second.modelSha256).toBe(first.modelSha256);
  });

  it('warns about two workers on one GPU, and gives the same bytes', async () => {
    const one = await train([...SHORT, '-n', '1']);
    const runs = temporaryFolder();
    const args = ['local', ...SHORT, '-n', '2', '--port', '0', '--runs-dir', runs, '--run-id', 'r'];
    const { code, output } = await run(args);
    expect(code, output).toBe(0);
    expect(output).toMatch(/2 workers share 1 GPU/);
    expect(readRun(join(runs, 'r')).modelSha256).toBe(one.modelSha256);
  });

  it('reaches 97% in five epochs', async () => {
    const { record } = await train(['--engine', 'tensorflow', '--device', 'cuda:0']);
    expect(record.result?.test.accuracy).toBeGreaterThanOrEqual(0.97);
  });
});
