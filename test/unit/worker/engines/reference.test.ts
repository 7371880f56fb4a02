import { createEngine } from '../../../../worker/engines/create.ts';
import { engineContract } from '../../../fixtures/engine/engine-contract.ts';

engineContract('reference', ({ shape, kernels }) =>
  createEngine('reference', shape, kernels, { threads: 1, device: 'cpu' }),
);
