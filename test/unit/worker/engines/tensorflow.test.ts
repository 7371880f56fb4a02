import { describe, expect, it } from 'vitest';
import { ClusterError, messageOf } from '../../../../shared/errors.ts';
import { createEngine } from '../../../../worker/engines/create.ts';
import { loadTensorFlow } from '../../../../worker/native/load.ts';
import { engineContract } from '../../../fixtures/engine/engine-contract.ts';
import { createFixture } from '../../../fixtures/engine/engine-cases.ts';

// A worker's environment has these variables; the library reads them when it is loaded.
process.env['TF_NUM_INTRAOP_THREADS'] = '1';
process.env['TF_NUM_INTEROP_THREADS'] = '-1';
process.env['TF_CPP_MIN_LOG_LEVEL'] = '2';
process.env['CUDA_VISIBLE_DEVICES'] = '-1';

const missing = whyMissing();

engineContract(
  'tensorflow',
  ({ shape, kernels }) => createEngine('tensorflow', shape, kernels, { threads: 1, device: 'cpu' }),
  missing,
);

describe.skipIf(missing !== undefined)("TensorFlow's device", () => {
  it('is rejected before any graph is built if it is not registered', async () => {
    const { shape, kernels } = createFixture({ hidden: [8] });
    const creating = createEngine('tensorflow', shape, kernels, { threads: 1, device: 'cuda:0' });
    await expect(creating).rejects.toThrow(ClusterError);
    await expect(creating).rejects.toThrow('does not register the device "cuda:0"');
  });
});

function whyMissing(): string | undefined {
  try {
    loadTensorFlow();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
