import type { EngineIdentity } from '../../shared/engine-identity.ts';

/** What a worker of the tests says of an engine that it does not have. */
export const sampleEngine: EngineIdentity = {
  ...{ kind: 'reference', library: 'none', device: 'cpu', processor: 'none', threads: 1 },
};
