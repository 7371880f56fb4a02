import { describe, it } from 'vitest';
import { messageOf } from '../../shared/errors.ts';
import { createEngine } from '../../worker/engines/create.ts';
import { loadTensorFlow } from '../../worker/native/load.ts';
import { engineContract } from './contract.ts';

// What a worker's environment sets before it starts; the library reads it when it is loaded.
process.env['TF_NUM_INTRAOP_THREADS'] = '1';
process.env['TF_NUM_INTEROP_THREADS'] = '1';
process.env['TF_CPP_MIN_LOG_LEVEL'] = '2';
process.env['CUDA_VISIBLE_DEVICES'] = '-1';

const missing = whyMissing();
if (missing === undefined) {
  engineContract('tensorflow', ({ shape, kernels }) =>
    createEngine('tensorflow', shape, kernels, { threads: 1, device: 'cpu' }),
  );
} else {
  describe.skip(`engine tensorflow: ${missing}`, () => {
    it('runs where its binding is built', () => undefined);
  });
}

function whyMissing(): string | undefined {
  try {
    loadTensorFlow();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
