// `npm test`: installs and builds what is missing, sets up TensorFlow, then runs all checks and
// tests. With arguments, it skips the checks and passes the arguments to vitest.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from './bootstrap.mjs';
import { watchSignals } from './hang-up.mjs';

/** Checks on the whole tree, by their script names in package.json. */
const checks = ['typecheck', 'lint', 'format:check', 'dead-code'];

/** vitest's reporters; the JSON file is for .ci/run. */
const reporters = [
  '--reporter=default',
  '--reporter=json',
  '--outputFile.json=.mnist-dist/test-results.json',
];

const stopWatching = watchSignals();
const isReady = await prepare().then(
  () => true,
  (error) => {
    process.exitCode = explain(error);
    return false;
  },
);
stopWatching();
if (isReady) process.exitCode = await test(process.argv.slice(2));

async function test(vitestArguments) {
  const { main } = await import('../dist/cli/main.js');
  // The `unit` project in vitest.config.ts runs without TensorFlow.
  if (!vitestArguments.includes('unit')) await main(['setup']);
  const failed = vitestArguments.length > 0 ? [] : checks.filter((name) => !passes(name));
  const status = run(join(root, 'node_modules', '.bin', 'vitest'), [
    'run',
    ...reporters,
    ...vitestArguments,
  ]);
  for (const name of failed) process.stderr.write(`failed: ${name}\n`);
  return status === 0 && failed.length === 0 ? 0 : 1;
}

function passes(name) {
  process.stdout.write(`checking ${name}\n`);
  return run('npm', ['run', '--silent', name]) === 0;
}

function run(program, args) {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  return status ?? 1;
}
