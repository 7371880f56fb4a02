import { createEngine } from '../../../../worker/engines/create.ts';
import { engineContract } from '../../../fixtures/engine/engine-contract.ts';
import type { Fixture } from '../../../fixtures/engine/engine-cases.ts';
import { modelContract } from '../../../fixtures/engine/model-contract.ts';

const create = ({ shape, kernels }: Fixture) =>
  createEngine('wasm', shape, kernels, { threads: 1, device: 'cpu' });

engineContract('wasm', create);
modelContract('wasm', create);
