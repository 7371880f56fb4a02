import { configurationRecord } from '../../shared/configuration.ts';
import type { RunRecord } from '../../shared/files/run-schema.ts';
import { sampleConfiguration } from './sample-configuration.ts';

export const sampleRun: RunRecord = {
  ...{
    format: 1,
    arithmetic: 1,
    version: '0.1.0',
    run: 'r',
    state: 'running',
    term: 1,
    started: '2026-01-02T03:04:05.678Z',
  },
  configuration: configurationRecord(sampleConfiguration),
  launch: { port: 29400, host: '127.0.0.1', hidden: [128], data: null },
  dataset: {
    ...{ sha256: 'ab'.repeat(32), rows: 28, columns: 28, train_samples: 60_000, test_samples: 10_000 },
    class_names: ['a', 'b'],
  },
  ...{ step: 0, chain: 'cd'.repeat(32), weights: '0'.repeat(16), workers: [{ name: 'w0', samples: 32 }] },
};
