// `npm test`: installs and builds what is missing, sets up TensorFlow, then runs all checks and
// tests. With arguments, it skips the checks and passes the arguments to vitest.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
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
  const failed = vitestArguments.length > 0 ? [] : await failures();
  const status = await run(join(root, 'node_modules', '.bin', 'vitest'), [
    'run',
    ...reporters,
    ...vitestArguments,
  ]);
  for (const name of failed) process.stderr.write(`failed: ${name}\n`);
  return status === 0 && failed.length === 0 ? 0 : 1;
}

/** Runs all checks at the same time, and resolves with the names of those that fail. */
async function failures() {
  process.stdout.write(`checking ${checks.join(', ')}\n`);
  const statuses = await Promise.all(checks.map((name) => run('npm', ['run', '--silent', name])));
  return checks.filter((_, i) => statuses[i] !== 0);
}

/** Runs a program to its end, and resolves with its exit code. */
async function run(program, args) {
  const [status] = await once(spawn(program, args, { cwd: root, stdio: 'inherit' }), 'exit');
  return status ?? 1;
}
