// Prints the ten slowest tests, every skipped test and a closing line. Exits with 1 unless `npm
// test` succeeded and only GPU tests were skipped.
import { existsSync, readFileSync } from 'node:fs';

const npmStatus = Number(process.argv[2]);
const file = '.mnist-dist/test-results.json';
const { testResults } = existsSync(file)
  ? JSON.parse(readFileSync(file, 'utf8'))
  : { testResults: [] };
const tests = testResults.flatMap(({ name, assertionResults }) =>
  assertionResults.map((test) => ({ ...test, file: name.slice(process.cwd().length + 1) })),
);
const having = (...statuses) => tests.filter(({ status }) => statuses.includes(status));
const passed = having('passed');
const failed = having('failed');
const skipped = having('skipped', 'pending', 'todo', 'disabled');
// A file that could not be loaded counts as failed and lists no tests.
const brokenFiles = testResults.filter(
  ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
);

const print = (line) => process.stdout.write(`${line}\n`);
print('\nslowest tests:');
const slowest = passed.toSorted((a, b) => (b.duration ?? 0) - (a.duration ?? 0)).slice(0, 10);
for (const test of slowest)
  print(
    `  ${((test.duration ?? 0) / 1000).toFixed(1).padStart(6)} s  ${test.file}: ${test.fullName}`,
  );
for (const test of skipped) print(`skipped: ${test.file}: ${test.fullName}`);
for (const { name } of brokenFiles) print(`not loaded: ${name}`);

const forbiddenSkips = skipped.filter(({ fullName }) => !/\bGPU\b/.test(fullName));
if (forbiddenSkips.length > 0)
  print(`${forbiddenSkips.length} tests that do not need a GPU were skipped`);
const isGood =
  npmStatus === 0 &&
  passed.length > 0 &&
  failed.length === 0 &&
  brokenFiles.length === 0 &&
  forbiddenSkips.length === 0;
print(
  `${passed.length} passed, ` +
    `${failed.length + brokenFiles.length + (isGood || failed.length > 0 ? 0 : 1)} failed, ` +
    `${skipped.length} skipped`,
);
process.exitCode = isGood ? 0 : 1;
