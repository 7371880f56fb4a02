import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { smokeTest } from '../../../../worker/native/smoke.ts';
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
