// `npm test`: installs and builds what is missing, sets up TensorFlow, then runs every check.
// Arguments go to vitest.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from './bootstrap.mjs';

/** A check of the whole tree: what it is called, and its command line. */
const checks = [
  ['types', 'tsc', ['--noEmit', '-p', 'tsconfig.json']],
  ['types of the tests', 'tsc', ['-p', join('test', 'tsconfig.json')]],
  ['lint', 'oxlint', ['--type-aware', '--quiet']],
  ['format', 'prettier', ['--check', '--log-level', 'warn', '.']],
  ['dead code', 'knip', ['--no-progress']],
];

/** What the run found, for .ci/run. */
const reporters = [
  '--reporter=default',
  '--reporter=json',
  '--outputFile.json=.mnist-dist/test-results.json',
];

const isReady = await prepare().then(
  () => true,
  (error) => {
    process.exitCode = explain(error);
    return false;
  },
);
if (isReady) process.exitCode = await test(process.argv.slice(2));

async function test(vitestArguments) {
  const { main } = await import('../dist/cli/main.js');
  // Without TensorFlow its tests are skipped, and say so.
  await main(['setup']);
  const failed =
    vitestArguments.length > 0
      ? []
      : checks.filter(([name, program, args]) => !passes(name, program, args));
  const status = run('vitest', ['run', ...reporters, ...vitestArguments]);
  for (const [name] of failed) process.stderr.write(`failed: ${name}\n`);
  return status === 0 && failed.length === 0 ? 0 : 1;
}

function passes(name, program, args) {
  process.stdout.write(`checking ${name}\n`);
  return run(program, args) === 0;
}

function run(program, args) {
  const { status } = spawnSync(join(root, 'node_modules', '.bin', program), args, {
    cwd: root,
    stdio: 'inherit',
  });
  return status ?? 1;
}
