import { expect, it } from 'vitest';
import type { StepReport } from '../../../../coordinator/viewer.ts';
import { noCounts } from '../../../../coordinator/decisions/state.ts';
import { metricsSettings, runFacts } from '../../../../dashboards/feed/facts.ts';
import { Observation } from '../../../../dashboards/feed/observation.ts';
import type { Configuration } from '../../../../shared/configuration.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { scrape } from './observed.ts';

const dataset = { rows: 28, columns: 28, classNames: ['0', '1'] };

function observe(configuration: Configuration, step: number): Observation {
  const observation = new Observation({
    facts: runFacts(configuration, dataset, { version: '1.2.3', isLive: true }),
    metrics: metricsSettings(configuration, dataset, '1.2.3'),
    imagesOf: () => new Uint8Array(0),
    clock: () => 0,
    notRecalled: (error) => {
      throw error;
    },
  });
  const started = '2026-01-01T00:00:00.000Z';
  const opening = { run: 'r', directory: 'runs/r', term: 1, started, past: undefined, events: '' };
  observation.opened({ ...opening, step, epoch: 1 });
  observation.attach({
    directory: 'runs/r',
    inspect: () => ({
      phase: 'running',
      awaited: 1,
      counts: noCounts,
      engine: undefined,
      workers: [],
      delivered: new Map(),
    }),
    weights: () => ({ step: 1, weights: new Float32Array(1) }),
    unauthorized: () => 0,
    waitingBytes: () => 0,
    isDiskFull: () => false,
  });
  return observation;
}

const report: StepReport = {
  step: 21,
  epoch: 1,
  samples: 32,
  loss: 0.5,
  correct: 16,
  learningRate: 0.000_25,
  workers: 1,
  milliseconds: 4,
  updateMilliseconds: 1,
  recordMilliseconds: 0.5,
  gradientNorm: () => 3,
};

it("exports the last step's learning rate, and shows pages a rate that changes", async () => {
  const schedule = { kind: 'step', decay: 0.5, every: 10 } as const;
  const observation = observe({ ...configurationFixture, schedule }, 11);
  expect((await scrape(observation)).get('learning_rate{}')).toBe(0.0005);
  observation.step(report);
  expect((await scrape(observation)).get('learning_rate{}')).toBe(0.000_25);
  expect(observation.view()?.status.learningRate).toBe(0.000_25);
});

it('exports a constant learning rate, which pages show only among the settings', async () => {
  const observation = observe(configurationFixture, 0);
  expect((await scrape(observation)).get('learning_rate{}')).toBe(0.001);
  observation.step({ ...report, learningRate: 0.001 });
  expect((await scrape(observation)).get('learning_rate{}')).toBe(0.001);
  expect(observation.view()?.status.learningRate).toBeUndefined();
  expect(observation.view()?.configuration).toContainEqual(['learning rate', '0.001']);
});
