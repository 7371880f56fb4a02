import { beforeEach, expect, it, vi } from 'vitest';
import { doctor } from '../../../../cli/commands/doctor.ts';
import { setup } from '../../../../cli/commands/setup.ts';
import { parseCommand } from '../../../../cli/program.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import * as repairs from '../../../../worker/native/cache/repair.ts';
import type { NativeEngine } from '../../../../worker/native/engine-manifest.ts';
import { captured } from '../../../fixtures/captured-output.ts';

const REMOVE = 'remove /cache/wheels/half.whl (12 MB): it is already unpacked';
const plan = {
  cache: '/cache',
  defects: [{ path: '/cache/wheels/half.whl', bytes: 12e6, why: 'it is already unpacked' }],
  setUp: undefined,
  working: '/cache/libraries/a/tensorflow',
  isThorough: false,
};
const native: NativeEngine = {
  moduleDirectory: '/link',
  binding: '/link/tfjs_binding.node',
  version: '2.21.0',
  device: 'cpu',
  source: 'a wheel',
  library: '/cache/libraries/a/tensorflow',
  environment: {},
};

vi.mock(import('../../../../worker/native/cache/repair.ts'), { spy: true });
vi.mock('../../../../worker/native/doctor-rows.ts', () => ({
  doctorRows: async () => [{ check: 'node', status: 'ok', detail: '20' }],
  canTrain: () => true,
  rowLines: () => ['the table'],
}));

beforeEach(() => {
  vi.resetAllMocks();
  vi.spyOn(repairs, 'planRepair').mockResolvedValue(plan);
});

async function run(command: 'doctor' | 'setup', ...argv: string[]): Promise<number> {
  const parsed = parseCommand([command, ...argv], {}, '1');
  if (parsed.command === 'doctor') return await doctor(parsed.options);
  if (parsed.command === 'setup') return await setup(parsed.options);
  throw new Error(`parsed as ${parsed.command}`);
}

it('doctor says what --fix would change, and changes nothing', async () => {
  const repair = vi.spyOn(repairs, 'repair').mockResolvedValue(native);
  const printed = captured();
  expect(await run('doctor')).toBe(0);
  expect(printed.out).toContain(`doctor --fix\` would change:\n  ${REMOVE}\n`);
  expect(await run('doctor', '--json')).toBe(0);
  expect(printed.out).toContain(`"fixes": [\n    "${REMOVE}"`);
  expect(repair).not.toHaveBeenCalled();
});

it.each([
  ['doctor', '--fix'],
  ['setup', '--repair'],
] as const)('%s %s prints what it changes before it changes it', async (command, flag) => {
  const printed = captured();
  const repair = vi.spyOn(repairs, 'repair').mockImplementation(async () => {
    expect(printed.error).toContain(REMOVE);
    return native;
  });
  expect(await run(command, flag)).toBe(0);
  expect(repair).toHaveBeenCalledOnce();
  expect(repairs.planRepair).toHaveBeenCalledWith({ isThorough: true });
});

it('doctor shows the checks even if --fix failed', async () => {
  const why = new ClusterError('SETUP', 'pip was not found', { fix: 'install pip' });
  vi.spyOn(repairs, 'repair').mockRejectedValue(why);
  const printed = captured();
  expect(await run('doctor', '--fix')).toBe(0);
  expect(printed.error).toMatch(/not fixed: pip was not found\n {2}fix: install pip/);
  expect(printed.out).toContain('the table');
});

it('setup says that there is nothing to repair', async () => {
  vi.spyOn(repairs, 'planRepair').mockResolvedValue({ ...plan, defects: [] });
  vi.spyOn(repairs, 'repair').mockResolvedValue(native);
  const printed = captured();
  expect(await run('setup', '--repair')).toBe(0);
  expect(printed.error).toContain('nothing to repair in /cache');
});
