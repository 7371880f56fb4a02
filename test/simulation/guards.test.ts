import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, describe, it } from 'vitest';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { guards, withoutGuard } from './guards.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/**
 * As many as it takes to notice the removal of any guard; the first failure ends the simulation.
 */
const SEEDS = 400;
/** The limit for a simulation that hangs: as long as a whole one may take. */
const LIMIT_MILLISECONDS = 2 * SEEDS * 1_000;
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2;

/** A copy of what the simulator runs; `later` belongs to the test, since several run at once. */
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

// As many at once as vitest.config.ts says.
describe.concurrent('the simulator', { timeout: LIMIT_MILLISECONDS }, () => {
  it('passes on a copy of the sources', async ({ expect, signal, onTestFinished }) => {
    const { passes, output } = await runIn(copyOfSources(onTestFinished), SIMULATION, signal, 50);
    expect(passes, output).toBe(true);
  });

  it.for(guards)(
    'fails without: $name',
    async ({ test = SIMULATION, ...guard }, { expect, signal, onTestFinished }) => {
      const copy = copyOfSources(onTestFinished);
      const path = join(copy, guard.file);
      const source = withoutGuard(readFileSync(path, 'utf8'), guard);
      assert(source !== undefined, `${guard.file} does not have this line once: ${guard.line}`);
      writeFileSync(path, source);
      const { passes, output } = await runIn(copy, test, signal);
      expect(passes, `nothing noticed:\n${output}`).toBe(false);
      if (test === SIMULATION) expect(output).toContain('npm run sim -- --seed');
      // A test file that cannot be loaded notices nothing.
      else expect(output).toMatch(/Tests .*\d+ failed/);
    },
  );
});
