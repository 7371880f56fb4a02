import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, describe, it } from 'vitest';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { guards, withoutGuard } from './guards.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Enough seeds to detect the removal of any guard. The simulation ends at the first failure. */
const SEEDS = 400;
/** Deadline for a simulation that hangs: as long as a complete one may take. */
const LIMIT_MILLISECONDS = 2 * SEEDS * 1_000;
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2;

/**
 * Copies the sources that the simulator runs. `later` is the test's own hook, since tests run
 * concurrently.
 */
function copyOfSources(later: (clean: () => void) => void): string {
  const copy = temporaryFolder(later);
  for (const folder of ['bin', 'coordinator', 'worker', 'shared', 'test', 'dist/shared/kernels'])
    cpSync(join(root, folder), join(copy, folder), { recursive: true });
  for (const file of ['package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, file), join(copy, file));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

const SIMULATION = 'test/simulation/simulation.test.ts';

async function runIn(
  folder: string,
  test: string,
  signal: AbortSignal,
  seeds = SEEDS,
): Promise<{ passes: boolean; output: string }> {
  const env = { ...process.env, MNIST_DIST_SIM_SEEDS: String(seeds) };
  const options = { cwd: folder, env, maxBuffer: MAX_OUTPUT_BYTES, signal };
  const command = join(root, 'node_modules/.bin/vitest');
  return await new Promise((resolve) => {
    execFile(command, ['run', '--bail', '1', test], options, (error, stdout, stderr) =>
      resolve({ passes: error === null, output: stdout + stderr }),
    );
  });
}

// vitest.config.ts limits how many tests run concurrently.
describe.concurrent('the simulator', { timeout: LIMIT_MILLISECONDS }, () => {
  it('passes on a copy of the sources', async ({ expect, signal, onTestFinished }) => {
    const { passes, output } = await runIn(copyOfSources(onTestFinished), SIMULATION, signal, 50);
    expect(passes, output).toBe(true);
  });

  it.for(guards)(
    'fails without the guard "$name"',
    async ({ test = SIMULATION, ...guard }, { expect, signal, onTestFinished }) => {
      const copy = copyOfSources(onTestFinished);
      const path = join(copy, guard.file);
      const source = withoutGuard(readFileSync(path, 'utf8'), guard);
      assert(
        source !== undefined,
        `${guard.file} does not contain this line exactly once: ${guard.line}`,
      );
      writeFileSync(path, source);
      const { passes, output } = await runIn(copy, test, signal);
      expect(passes, `no test noticed:\n${output}`).toBe(false);
      if (test === SIMULATION) expect(output).toContain('npm run sim -- --seed');
      // A test file that cannot be loaded has not detected anything.
      else expect(output).toMatch(/Tests .*\d+ failed/);
    },
  );
});
