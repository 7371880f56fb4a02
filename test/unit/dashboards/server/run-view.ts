import type { RunView } from '../../../../dashboards/feed/api.ts';

export const sampleView: RunView = {
  ...{ run: 'r', term: 1, version: '0.0.0', started: '2026-01-01T00:00:00.000Z', isLive: true },
  configuration: [['seed', '1']],
  ...{ epochs: 1, stepsPerEpoch: 10, totalSteps: 10, classNames: ['a', 'b'], rows: 2, columns: 2 },
  model: { inputs: 4, hidden: [3], classes: 2 },
  status: {
    ...{ state: 'running', message: '', step: 3, epoch: 1, seconds: 1, workers: [], joined: 1, lost: 0 },
    ...{ stragglerSteps: 0, reassigned: 0, secondsLeft: undefined, checkpointStep: undefined },
    ...{ waiting: '', problem: '', at: 0 },
  },
  ...{ curve: [[3, 1, 0.5, 100]], evaluations: [], events: [], changes: [], evaluated: undefined },
};
