import { afterEach, expect, test, vi } from 'vitest';
import { machineRow } from '../../../../cli/commands/doctor.ts';
import { checkMachine, machineChecks } from '../../../../cli/processes/machine.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

test('a machine that can train passes all checks, and doctor shows each of them', () => {
  checkMachine(2, 'tensorflow');
  expect(machineChecks(2, 'tensorflow').map(machineRow)).toEqual([
    { check: 'open files', status: 'ok', detail: 'enough for 2 workers (ulimit -n)' },
    {
      check: 'memory',
      status: 'ok',
      detail: 'WebAssembly can reserve the memory that a worker needs',
    },
    { check: 'disk: temporary', status: 'ok', detail: 'temporary files can be written (TMPDIR)' },
  ]);
});

test('without a temporary folder, TensorFlow cannot run but wasm can', () => {
  vi.stubEnv('TMPDIR', '/nowhere');
  expect(() => checkMachine(2, 'tensorflow')).toThrow(
    /temporary files cannot be written to \/nowhere/,
  );
  expect(() => checkMachine(2, 'wasm')).not.toThrow();
  const rowOf = (engine: 'tensorflow' | 'wasm') => machineChecks(2, engine).map(machineRow)[2];
  expect(rowOf('tensorflow')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('/nowhere'),
    fix: expect.stringContaining('TMPDIR'),
  });
  expect(rowOf('wasm')?.status).toBe('warning');
});
