import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { reasonIn, smokeTest } from '../../../../worker/native/smoke.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const FAKE_BINDING = `
module.exports = {
  TF_Version: '2.21.0',
  createTensor: () => 0,
  executeOp: () => [{ id: 0 }],
  tensorDataSync: () => [19, 22, 43, 50],
  isUsingGpuDevice: () => false,
};`;

it('the smoke test fails if any addon next to the binding cannot be loaded', async () => {
  const folder = temporaryFolder();
  const binding = join(folder, 'binding.cjs');
  writeFileSync(binding, FAKE_BINDING);
  expect(await smokeTest(binding, {})).toEqual({ version: '2.21.0', gpu: false });
  writeFileSync(join(folder, 'support.node'), 'damaged');
  await expect(smokeTest(binding, {})).rejects.toThrow(/does not work .*support\.node/);
});

it("the reason why it failed is not a line of TensorFlow's log", () => {
  const log =
    'I0000 00:00:1.2 port.cc:153] round-off errors from different orders.\n' +
    '2026-01-01 10:00:00.1: W tensorflow/x.cc:1] could not load cuda: cannot open\n';
  const reason = "Error: '/c/graphs.node': invalid ELF header";
  expect(reasonIn(`${log}${reason}\n    at require`)).toBe(reason);
  expect(reasonIn(log)).toBeUndefined();
});
