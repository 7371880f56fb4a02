import { expect, test } from 'vitest';
import { machineRow } from '../../../../cli/commands/doctor.ts';
import { checkMachine, machineChecks } from '../../../../cli/processes/machine.ts';
import { ClusterError } from '../../../../shared/errors.ts';

test('a machine that can train passes all checks, and doctor shows each of them', () => {
  checkMachine(2);
  expect(machineChecks(2).map(machineRow)).toEqual([
    { check: 'open files', status: 'ok', detail: 'enough for 2 workers (ulimit -n)' },
    {
      check: 'memory',
      status: 'ok',
      detail: 'WebAssembly can reserve the memory that a worker needs',
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
