import type { Score } from '../../shared/evaluation/score.ts';
import { kernelDigest } from '../../shared/kernels/kernels.ts';
import { configurationRecord, type Configuration } from '../../shared/configuration.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { checksumText } from '../../shared/files/metrics.ts';
import { RUN_FORMAT, type RunRecord } from '../../shared/files/run-schema.ts';
import { earlyEnd } from '../decisions/close-step.ts';
import type { Outcome } from '../decisions/effects.ts';
import type { RunState } from '../decisions/state.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

/** A run's constant properties. */
interface Run {
  readonly files: { readonly id: string };
  readonly version: string;
  readonly term: number;
  readonly configuration: Configuration;
  readonly launch: RunRecord['launch'];
  readonly dataset: Dataset;
}

/** A run's progress. */
interface Progress {
  readonly started: string;
  readonly now: string;
  readonly step: number;
  readonly chain: string;
  /** XXH64 of the weights. */
  readonly weights: bigint;
  /** The last evaluation of the test set. */
  readonly result: { readonly score: Score; readonly stepsPerSecond: number | null } | undefined;
}

/** The content of run.json; `outcome` is undefined while the run is running. */
export function runRecord(
  run: Run,
  progress: Progress,
  state: RunState,
  outcome: Outcome | undefined,
): RunRecord {
  const { version, term, configuration, launch, dataset } = run;
  const { started, step, chain, weights } = progress;
  return {
    format: RUN_FORMAT,
    arithmetic: ARITHMETIC,
    version,
    run: run.files.id,
    state: outcome?.state ?? 'running',
    term,
    started,
    ...(outcome === undefined ? {} : { ended: progress.now }),
    configuration: configurationRecord(configuration),
    launch,
    ...engineOf(state),
    dataset: datasetOf(dataset),
    step,
    chain,
    weights: checksumText(weights),
    workers: [...state.delivered].map(([name, samples]) => ({ name, samples })),
    ...(state.countedFrom === 0 ? {} : { workers_from_step: state.countedFrom }),
    ...(state.suspects.length === 0 ? {} : { suspects: [...state.suspects] }),
    ...(outcome?.state === 'finished' ? resultOf(progress) : {}),
    ...bestOf(state),
    ...errorOf(outcome),
  };
}

/** The run's engine; empty before the first step begins. */
export function engineOf({ engine, fingerprint, mixed }: RunState): Pick<RunRecord, 'engine'> {
  if (engine === undefined || fingerprint === undefined) return {};
  return {
    engine: {
      description: engine,
      fingerprint,
      kernel_digest: kernelDigest(),
      reproducible: !mixed,
    },
  };
}

function datasetOf({
  digest,
  name,
  rows,
  columns,
  train,
  test,
  classNames,
}: Dataset): RunRecord['dataset'] {
  return {
    sha256: digest,
    ...(name === undefined ? {} : { name }),
    rows,
    columns,
    train_samples: train.samples,
    test_samples: test.samples,
    class_names: [...classNames],
  };
}

function resultOf({ result }: Progress): Pick<RunRecord, 'result'> {
  if (result === undefined) return {};
  const { loss, accuracy, confusion } = result.score;
  return {
    result: { test: { loss, accuracy, confusion }, steps_per_second: result.stepsPerSecond },
  };
}

function bestOf(state: RunState): Pick<RunRecord, 'best' | 'stopped_early'> {
  const { judgement } = state;
  if (judgement === undefined) return {};
  const { best, waited } = judgement;
  const stopped = earlyEnd(state);
  return {
    best: { step: best.step, loss: best.loss, waited },
    ...(stopped === undefined ? {} : { stopped_early: stopped }),
  };
}

function errorOf(outcome: Outcome | undefined): Pick<RunRecord, 'error'> {
  if (outcome?.code === undefined) return {};
  const { code, message, fix } = outcome;
  return { error: { code, message, ...(fix === undefined ? {} : { fix }) } };
}
