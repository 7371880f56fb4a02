import type { StepReport } from '../../coordinator/viewer.ts';
import { runFacts, metricsSettings } from '../../dashboards/feed/facts.ts';
import { Observation } from '../../dashboards/feed/observation.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { inputCount } from '../../shared/arithmetic/model-shape.ts';
import { EVALUATION_CHUNK_ROWS } from '../../shared/limits/model.ts';
import type { Cell } from './cell.ts';
import { microsecondsPerCall } from './timing.ts';
import { MODEL, SEED, UPDATE } from './workload.ts';

/** Number of workers in the measured cell. */
export const OBSERVED_WORKERS = 4;

export interface ObservationCell extends Cell {
  readonly workers: number;
  /** Microseconds per step, one value per repetition. */
  readonly microseconds: number[];
}

/** Measures how long the coordinator spends per step on the metrics and the live page. */
export function observationCell(milliseconds: number): ObservationCell {
  const call = observedStep();
  const microseconds: number[] = [];
  return {
    name: 'observation',
    workers: OBSERVED_WORKERS,
    microseconds,
    measure: () => Promise.resolve(void microseconds.push(microsecondsPerCall(call, milliseconds))),
  };
}

function observedStep(): () => void {
  const samples = EVALUATION_CHUNK_ROWS;
  const configuration: Configuration = {
    dataset: '0'.repeat(64),
    model: MODEL,
    batchSize: 32,
    virtualShards: 4,
    seed: SEED,
    ...UPDATE,
    epochs: 1,
    trainSamples: samples,
    testSamples: samples,
  };
  const classNames = Array.from({ length: MODEL.classes }, (_, i) => String(i));
  const dataset = { rows: MODEL.rows, columns: MODEL.columns, classNames };
  const images = new Uint8Array(samples * inputCount(MODEL));
  const observation = new Observation({
    facts: runFacts(configuration, dataset, { version: '', isLive: true }),
    metrics: metricsSettings(configuration, dataset, ''),
    imagesOf: () => images,
    clock: () => performance.now(),
    notRecalled: (error) => {
      throw error;
    },
  });
  const results = Array.from({ length: OBSERVED_WORKERS }, (_, i) => ({
    worker: `w${i}`,
    microseconds: 400,
    milliseconds: 0.8,
  }));
  const report: StepReport = {
    step: 0,
    epoch: 1,
    samples: 32,
    loss: 0.5,
    correct: 16,
    learningRate: 0.001,
    workers: OBSERVED_WORKERS,
    // The gradient norm is computed four times a second, regardless of the step rate.
    milliseconds: 1,
    updateMilliseconds: 0.1,
    recordMilliseconds: 0.01,
    gradientNorm: () => 1,
  };
  let step = 0;
  return () => {
    step += 1;
    for (const result of results) observation.result(result);
    observation.step({ ...report, step });
  };
}
