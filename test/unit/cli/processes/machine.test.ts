import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { machineRow } from '../../../../cli/commands/doctor.ts';
import { checkMachine, fileSizeCheck, machineChecks } from '../../../../cli/processes/machine.ts';
import { ClusterError, errorTable } from '../../../../shared/errors.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { executable } from '../../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

test('a machine that can train passes all checks, and doctor shows each of them', () => {
  checkMachine(2);
  expect([...machineChecks(2), fileSizeCheck(configurationFixture)].map(machineRow)).toEqual([
    { check: 'open files', status: 'ok', detail: 'enough for 2 workers (ulimit -n)' },
    {
      check: 'memory',
      status: 'ok',
      detail: 'WebAssembly can reserve the memory that a worker needs',
    },
    {
      check: 'file size',
      status: 'ok',
      detail: 'enough for checkpoints of the default model (ulimit -f)',
    },
  ]);
});

test('doctor shows a lack with its fix, and does not hide a bug', () => {
  const run = (error: Error) => () => {
    throw error;
  };
  const lack = new ClusterError('LIMIT', 'too few', { fix: 'ulimit -n 1000' });
  expect(machineRow({ name: 'open files', good: '', run: run(lack) })).toEqual({
    check: 'open files',
    status: 'failed',
    detail: 'too few',
    fix: 'ulimit -n 1000',
  });
  const bug = new TypeError('a bug');
  expect(() => machineRow({ name: 'open files', good: '', run: run(bug) })).toThrow(bug);
});

/** Runs a command in a process that may write files of 300 KiB. */
function limited(args: readonly string[], cwd: string) {
  const script = 'ulimit -f 300; exec "$@"';
  const command = ['-c', script, 'bash', process.execPath, executable, ...args];
  return spawnSync('bash', command, { encoding: 'utf8', cwd, timeout: 100_000 });
}

test.each([
  ['local', ['local', '--engine', 'wasm', '-n', '1', '--steps', '1']],
  ['coordinator', ['coordinator', '--port', '0', '--steps', '1']],
])('%s needs to write files of the size of a checkpoint', (_, args) => {
  const folder = temporaryFolder();
  const { status, stderr } = limited([...args, '--no-http', '--no-pictures'], folder);
  expect(stderr).toMatch(/but the limit is 307200 \(ulimit -f\)\n.*ulimit -f unlimited/);
  expect(status).toBe(errorTable.LIMIT.exit);
  expect(stderr).not.toContain('connected');
  expect(readdirSync(folder)).toEqual([]);
});
