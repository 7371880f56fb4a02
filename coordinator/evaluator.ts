import { misclassified, type Misclassified } from '../shared/evaluation/misclassified.ts';
import { score, type Score } from '../shared/evaluation/score.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset/dataset.ts';
import { assert } from '../shared/errors.ts';
import type { EngineIdentity } from '../shared/engine-identity.ts';
import type { ModelFile } from '../shared/files/model-file.ts';
import type { Effect, Outcome } from './decisions/effects.ts';
import {
  serve,
  readOnlyPolicy,
  type RunRecorder,
  type ServeSettings,
  type Serving,
  type RunContext,
} from './serve.ts';
import type { Recorded } from './decisions/events.ts';
import { beginning, type Resumed, type RunState } from './decisions/state.ts';
import type { RunViewer } from './viewer.ts';

/** The evaluation of a model on the test set. */
export interface Evaluated {
  /** Undefined if the loss is not finite. */
  readonly score: Score | undefined;
  readonly misclassified: readonly Misclassified[];
  readonly engine: EngineIdentity | undefined;
}

/** Scores the predictions of a single evaluation. Writes nothing. */
export class Evaluator implements RunRecorder {
  readonly run = 'eval';
  readonly term = 1;
  /** The state as if training had just completed its only step. */
  readonly resumed: Resumed = { ...beginning, step: 1 };
  readonly #dataset: Dataset;
  readonly #context: RunContext;
  readonly #log: RunViewer['log'];
  #evaluated: Pick<Evaluated, 'score' | 'misclassified'> | undefined;

  constructor(dataset: Dataset, context: RunContext, log: RunViewer['log']) {
    this.#dataset = dataset;
    this.#context = context;
    this.#log = log;
  }

  async opened(): Promise<void> {}

  step(): void {
    assert(false, 'an evaluation has no steps');
  }

  result(): void {}

  left(): void {}

  checkpoint(): void {}

  devices(): void {}

  restore(): Promise<Float32Array> {
    assert(false, 'an evaluation has one model');
  }

  evaluation(): Recorded {
    const { labels } = this.#dataset.test;
    const predictions = {
      values: this.#context.predictions.all('test'),
      labels,
      classes: this.#dataset.classNames.length,
    };
    const scored = score(predictions);
    const finite = Number.isFinite(scored.loss);
    this.#evaluated = {
      score: finite ? scored : undefined,
      misclassified: misclassified(predictions),
    };
    return { loss: finite ? scored.loss : undefined };
  }

  log({ level, message, fields }: Extract<Effect, { kind: 'log' }>): void {
    // Workers that join or leave are of no interest during a single evaluation.
    this.#log(level === 'info' ? 'debug' : level, message, fields);
  }

  finish({ engine }: RunState, _outcome: Outcome): Promise<Evaluated> {
    const evaluated = this.#evaluated ?? { score: undefined, misclassified: [] };
    return Promise.resolve({ ...evaluated, engine });
  }
}

export interface EvaluationSettings extends Pick<
  ServeSettings,
  | 'token'
  | 'tls'
  | 'version'
  | 'host'
  | 'port'
  | 'listening'
  | 'startWorkers'
  | 'rendezvousMilliseconds'
> {
  /** The dataset whose test set is evaluated. It must match the model's inputs and classes. */
  readonly dataset: Dataset;
}

/**
 * The configuration sent to workers. No step is computed, so the workers do not need memory for a
 * batch.
 */
export function evaluationOf(configuration: Configuration, dataset: Dataset): Configuration {
  return {
    ...configuration,
    batchSize: 1,
    virtualShards: 1,
    dataset: dataset.digest,
    steps: 1,
    validationSamples: undefined,
    earlyStopping: undefined,
    keepBest: undefined,
    minDelta: undefined,
    trainSamples: dataset.train.samples,
    testSamples: dataset.test.samples,
  };
}

/** Listens for workers, which evaluate the model on the test set. Rejects as `serve` does. */
export function startEvaluation(
  { configuration, weights }: ModelFile,
  settings: EvaluationSettings,
  log: RunViewer['log'],
): Promise<Serving<Evaluator>> {
  const { dataset } = settings;
  return serve(
    {
      ...settings,
      ...readOnlyPolicy,
      configuration: evaluationOf(configuration, dataset),
    },
    (context) => {
      context.tensors.restoreWeights(weights);
      return Promise.resolve(new Evaluator(dataset, context, log));
    },
    log,
  );
}
