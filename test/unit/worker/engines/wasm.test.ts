import { createEngine } from '../../../../worker/engines/create.ts';
import { engineContract } from '../../../fixtures/engine/engine-contract.ts';

engineContract('wasm', ({ shape, kernels }) =>
  createEngine('wasm', shape, kernels, { threads: 1, device: 'cpu' }),
);
