import { misclassified, misclassifiedLines } from '../evaluation/misclassified.ts';
import { score, type Score } from '../evaluation/score.ts';
import { Chain, firstLink } from '../shared/chain.ts';
import { configurationRecord, type Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset.ts';
import { ARITHMETIC } from '../shared/messages.ts';
import { RUN_FORMAT, type RunRecord } from '../shared/run-schema.ts';
import { planStep, totalSteps } from '../shared/schedule.ts';
import { kernelDigest } from '../kernels/kernels.ts';
import type { RunObserver, StepResult } from './driver.ts';
import type { Predictions } from './predictions.ts';
import { SpeedMeter } from './speed-meter.ts';
import type { Effect, Outcome, RunState } from './state.ts';
import type { RunStore } from './store.ts';

export interface StepReport {
  readonly step: number;
  readonly epoch: number;
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
  readonly workers: number;
}

/** Whoever shows the run while it goes on. */
export interface RunViewer {
  step(report: StepReport): void;
  evaluation(report: Omit<StepReport, 'workers'>): void;
  log(level: 'debug' | 'info' | 'warn', message: string, fields: Readonly<Record<string, unknown>>): void;
  started(): void;
}

export interface RecorderOptions {
  readonly store: RunStore;
  readonly viewer: RunViewer;
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly predictions: Predictions;
  readonly term: number;
  readonly version: string;
  readonly launch: RunRecord['launch'];
  readonly clock: () => number;
}

/** Writes down what happens: metrics, chain, events, and at the end result and model. */
export class Recorder implements RunObserver {
  readonly #options: RecorderOptions;
  readonly #chain: Chain;
  readonly #speed: SpeedMeter;
  readonly #started = new Date();
  #weights = 0n;
  #step = 0;
  #stepStarted: number;
  #score: Score | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#chain = new Chain(firstLink(options.configuration));
    this.#speed = new SpeedMeter(options.clock);
    this.#stepStarted = options.clock();
  }

  step({ step, loss, correct, checksum, workers }: StepResult): void {
    const { store, viewer, configuration, clock } = this.#options;
    const now = clock();
    const { epoch, samples } = planStep(configuration, step);
    const chain = this.#chain.add({ step, samples, loss, correct, weights: checksum });
    if (step === 1 || step === totalSteps(configuration)) store.event('step', { step });
    if (step === 1) viewer.started();
    store.step({
      step,
      epoch,
      samples,
      loss,
      correct,
      milliseconds: now - this.#stepStarted,
      weights: checksum,
      chain,
    });
    viewer.step({ step, epoch, samples, loss, correct, workers });
    this.#speed.step(step);
    this.#stepStarted = now;
    this.#weights = checksum;
    this.#step = step;
  }

  evaluation(step: number): { finite: boolean } {
    const { store, viewer, predictions, dataset, configuration, clock } = this.#options;
    const result = score({
      values: predictions.all(),
      labels: dataset.test.labels,
      classes: configuration.model.classes,
    });
    if (!Number.isFinite(result.loss)) return { finite: false };
    this.#score = result;
    const { epoch } = planStep(configuration, step);
    const line = { step, epoch, samples: result.samples, loss: result.loss, correct: result.correct };
    store.evaluation(line);
    store.event('evaluation', line);
    viewer.evaluation(line);
    this.#speed.pause(clock() - this.#stepStarted);
    this.#stepStarted = clock();
    return { finite: true };
  }

  log({ level, event, message, fields }: Extract<Effect, { kind: 'log' }>): void {
    this.#options.store.event(event, fields);
    this.#options.viewer.log(level, message, fields);
  }

  /** The run's record as of now. */
  record(state: RunState, outcome: Outcome | undefined): RunRecord {
    const { store, version, term, configuration, launch } = this.#options;
    const error =
      outcome?.code === undefined
        ? {}
        : {
            error: {
              code: outcome.code,
              message: outcome.message,
              ...(outcome.fix === undefined ? {} : { fix: outcome.fix }),
            },
          };
    return {
      ...{
        format: RUN_FORMAT,
        arithmetic: ARITHMETIC,
        version,
        run: store.id,
        state: outcome?.state ?? 'running',
        term,
      },
      started: this.#started.toISOString(),
      ...(outcome === undefined ? {} : { ended: new Date().toISOString() }),
      ...{ configuration: configurationRecord(configuration), launch },
      ...this.#engine(state),
      dataset: this.#dataset(),
      ...{ step: this.#step, chain: this.#chain.link, weights: this.#weights.toString(16).padStart(16, '0') },
      workers: [...state.delivered].map(([name, samples]) => ({ name, samples })),
      ...(outcome?.state === 'finished' ? this.#result() : {}),
      ...error,
    };
  }

  /** Writes model, misclassified samples and the final run.json, in this order, and closes all files. */
  async finish(state: RunState, outcome: Outcome, weights: Float32Array): Promise<RunRecord> {
    const { store, configuration, dataset, predictions } = this.#options;
    const record = this.record(state, outcome);
    if (this.#step > 0 && (outcome.state === 'finished' || outcome.state === 'interrupted')) {
      await store.writeModel({ configuration, step: this.#step, chain: this.#chain.link, weights });
    }
    if (outcome.state === 'finished') {
      const wrong = misclassified({
        values: predictions.all(),
        labels: dataset.test.labels,
        classes: configuration.model.classes,
      });
      await store.writeArtifact('misclassified.jsonl', misclassifiedLines(wrong));
    }
    store.event('end', { state: outcome.state, step: this.#step });
    await store.syncMetrics();
    await store.writeRun(record);
    await store.close();
    return record;
  }

  #engine(state: RunState): Pick<RunRecord, 'engine'> {
    const { engine, fingerprint } = state;
    if (engine === undefined || fingerprint === undefined) return {};
    return {
      engine: { description: engine, fingerprint, kernel_digest: kernelDigest(), reproducible: !state.mixed },
    };
  }

  #dataset(): RunRecord['dataset'] {
    const { digest, name, rows, columns, train, test, classNames } = this.#options.dataset;
    return {
      ...{ sha256: digest, ...(name === undefined ? {} : { name }), rows, columns },
      ...{ train_samples: train.samples, test_samples: test.samples, class_names: [...classNames] },
    };
  }

  #result(): Pick<RunRecord, 'result'> {
    if (this.#score === undefined) return {};
    const { loss, accuracy, confusion } = this.#score;
    return {
      result: { test: { loss, accuracy, confusion }, steps_per_second: this.#speed.stepsPerSecond() },
    };
  }
}
