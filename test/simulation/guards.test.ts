import { execFile } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, assert, beforeAll, describe, it } from 'vitest';
import type { JsonTestResults } from 'vitest/node';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { guards } from './guards.ts';
import { writeMutants, type Mutants } from './mutants/mutants.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
/** Enough seeds to detect the removal of any guard. The simulation ends at the first failure. */
const SEEDS = 400;
/** Deadline for a simulation that hangs: as long as a complete one may take. */
const LIMIT_MILLISECONDS = 2 * SEEDS * 1_000;
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2;

type FileResult = JsonTestResults['testResults'][number];

let mutants: Mutants;
/** The results of the tests that guards name, by path, and vitest's output. */
let tests: { results: ReadonlyMap<string, FileResult>; output: string };

async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; signal?: AbortSignal; timeout?: number },
): Promise<{ passes: boolean; output: string }> {
  return await new Promise((resolve) => {
    const all = { ...options, maxBuffer: MAX_OUTPUT_BYTES };
    execFile(program, args, all, (error, stdout, stderr) =>
      resolve({ passes: error === null, output: stdout + stderr }),
    );
  });
}

async function simulate(
  program: string,
  signal: AbortSignal,
  seeds: readonly number[],
): Promise<{ passes: boolean; output: string }> {
  return await run(process.execPath, [program, ...seeds.map(String)], { signal });
}

/** Runs all tests that guards name in one vitest, which runs each file in its own process. */
async function runTests(folder: string): Promise<typeof tests> {
  const file = join(folder, 'results.json');
  const config = join(root, 'test/simulation/mutants/vitest.config.ts');
  // The seeds of `npm run sim` may not detect the removal of a guard.
  const seeds = { MNIST_DIST_SIM_SEED: '1', MNIST_DIST_SIM_SEEDS: String(SEEDS) };
  const { output } = await run(
    join(root, 'node_modules/.bin/vitest'),
    ['run', '--config', config, '--reporter=default', '--reporter=json', `--outputFile=${file}`],
    { cwd: folder, env: { ...process.env, ...seeds }, timeout: LIMIT_MILLISECONDS },
  );
  try {
    const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as JsonTestResults;
    return { results: new Map(testResults.map((result) => [result.name, result])), output };
  } catch {
    return { results: new Map(), output };
  }
}

beforeAll(async () => {
  const folder = realpathSync(temporaryFolder(afterAll));
  mutants = writeMutants(folder, guards);
  tests = await runTests(folder);
}, 2 * LIMIT_MILLISECONDS);

// vitest.config.ts limits how many tests run concurrently.
describe.concurrent('the simulator', { timeout: LIMIT_MILLISECONDS }, () => {
  it('passes on a copy of the sources', async ({ expect, signal }) => {
    const { passes, output } = await simulate(mutants.intact, signal, [50]);
    expect(passes, output).toBe(true);
  });

  it.for(guards.map((guard, number) => ({ ...guard, number })))(
    'fails without the guard "$name"',
    async ({ number, test, likelySeed }, { expect, signal }) => {
      const file = mutants.files[number];
      assert(file !== undefined, 'each guard has a copy of the sources');
      if (test === undefined) {
        const seeds = likelySeed === undefined ? [SEEDS] : [SEEDS, likelySeed];
        const { passes, output } = await simulate(file, signal, seeds);
        expect(passes, `no seed noticed:\n${output}`).toBe(false);
        expect(output).toContain('npm run sim -- --seed');
      } else {
        const result = tests.results.get(file);
        assert(result !== undefined, `vitest has no result for ${file}:\n${tests.output}`);
        // A test file that cannot be loaded has not detected anything.
        const failed = result.assertionResults.filter(({ status }) => status === 'failed');
        expect(failed.length, `no test noticed: ${result.message}`).toBeGreaterThan(0);
      }
    },
  );
});
