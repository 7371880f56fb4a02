import { join } from 'node:path';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { judge, judgingSet, type Judgement } from '../../shared/evaluation/judgement.ts';
import { score, type Score } from '../../shared/evaluation/score.ts';
import { Chain } from '../../shared/files/chain.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../../shared/files/checkpoint-file.ts';
import { evaluatedSamples, type Dataset } from '../../shared/dataset/dataset.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import { encodeModel } from '../../shared/files/model-file.ts';
import {
  checksumText,
  MetricsReader,
  type MetricsLine,
  type StepLine,
} from '../../shared/files/metrics.ts';
import { decodeTensors } from '../../shared/files/safetensors.ts';
import { modelDigest } from '../../shared/files/own-model.ts';
import { planStep } from '../../shared/arithmetic/schedule.ts';
import { newestCheckpoint, readCheckpoint } from './recorded-checkpoints.ts';
import { decoded, differs } from './recorded-results.ts';
import type { StepResult } from '../driver.ts';
import { metricsNow, type CheckpointFile } from '../run-directory/run-contents.ts';
import type { RunRecorder, RunContext } from '../serve.ts';
import type { Effect, Outcome } from '../decisions/effects.ts';
import type { Recorded } from '../decisions/events.ts';
import { beginning, type Resumed, type RunState, type Weights } from '../decisions/state.ts';
import type { Replay } from './replay-plan.ts';
import { MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/** Shows a replay's progress. */
export interface ReplayViewer {
  step(step: number): void;
  log(
    level: 'debug' | 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void;
}

/** How much of a run was recomputed and matches the record. */
export interface Verified {
  readonly steps: number;
  readonly evaluations: number;
  readonly checkpoints: number;
  readonly model: boolean;
  /** The last step, and its chain link. */
  readonly step: number;
  readonly chain: string;
  readonly engine: EngineIdentity | undefined;
}

/**
 * Compares each step, evaluation and file of a replay with the recorded run. Writes nothing. Throws
 * DIFFERS at the first difference, which ends the replay.
 */
export class Verifier implements RunRecorder {
  readonly term = 1;
  readonly #replay: Replay;
  readonly #dataset: Dataset;
  readonly #context: RunContext;
  readonly #viewer: ReplayViewer;
  readonly #chain: Chain;
  readonly #checkpoints: ReadonlyMap<number, CheckpointFile>;
  /** The recorded lines after the step that the replay starts from. */
  readonly #lines: Iterator<MetricsLine, void>;
  #step: number;
  #evaluations = 0;
  #comparedCheckpoints = 0;
  #comparedModel = false;
  #judgement: Judgement | undefined;
  /** With --keep-best: the best weights, and the last ones while the best ones are tested. */
  #best: { readonly step: number; readonly weights: Float32Array } | undefined;
  #last: Float32Array = new Float32Array(0);
  /** The files that were compared. */
  readonly #compared = new Set<string>();
  #mismatched: string | undefined;
  /** Whether a difference was found. Workers that leave afterwards do not cause a warning. */
  #hasDiffered = false;

  constructor(replay: Replay, dataset: Dataset, context: RunContext, viewer: ReplayViewer) {
    this.#replay = replay;
    this.#dataset = dataset;
    this.#context = context;
    this.#viewer = viewer;
    this.#chain = new Chain(replay.start.chain);
    this.#checkpoints = new Map(replay.checkpoints.files.map((file) => [file.step, file]));
    this.#step = replay.start.step;
    this.#judgement = replay.recorded.steps.get(replay.start.step)?.before;
    const begin = replay.recorded.steps.get(replay.start.step)?.end;
    this.#lines = metricsNow(replay.contents.directory, new MetricsReader(begin));
  }

  get run(): string {
    return this.#replay.contents.record.run;
  }

  /**
   * Describes, for messages, a worker whose fingerprint differs from the run's; undefined if there
   * is none.
   */
  get mismatched(): string | undefined {
    return this.#mismatched;
  }

  /** Contains the run's own fingerprint, so that only its engine is admitted. */
  get resumed(): Resumed | undefined {
    const { contents, start, checkpoints } = this.#replay;
    const { fingerprint } = checkpoints;
    if (fingerprint === undefined) return undefined;
    const engine = contents.record.engine?.description;
    // An evaluation after the starting step is recomputed.
    const { step } = start;
    return { ...beginning, step, judgement: this.#judgement, fingerprint, engine };
  }

  /** Compares the files of the step that the replay starts from. */
  async opened(): Promise<void> {
    const { start, recorded } = this.#replay;
    const line = recorded.steps.get(start.step)?.line;
    const weights = this.#context.tensors.checksum;
    if (line !== undefined && BigInt(`0x${line.weights}`) !== weights)
      throw this.#differs(
        `the weights in the checkpoint of step ${start.step} differ from metrics.jsonl`,
      );
    this.#compareFiles();
  }

  step({ step, loss, correct, checksum }: StepResult): void {
    const { contents } = this.#replay;
    const line = this.#lineOf(step);
    const { samples } = planStep(contents.configuration, step);
    const chain = this.#chain.add({ step, samples, loss, correct, weights: checksum });
    const difference = describe(line, {
      samples,
      loss,
      correct,
      weights: checksumText(checksum),
      chain,
    });
    if (difference !== undefined) throw this.#differs(`step ${step} differs: ${difference}`);
    this.#step = step;
    this.#compareFiles();
    this.#viewer.step(step);
  }

  /** The best weights for the test, and afterwards the last ones again. */
  async restore({ judgement }: RunState, which: Weights): Promise<Float32Array> {
    const { tensors } = this.#context;
    if (which === 'last') return this.#last;
    assert(judgement !== undefined, 'a run with evaluations has a best one');
    this.#last = tensors.snapshot().weights;
    const { step } = judgement.best;
    if (this.#best?.step === step) return this.#best.weights;
    // The replay has started after the best step.
    const { contents, checkpoints } = this.#replay;
    const { weights } = newestCheckpoint(checkpoints.files, step, contents) ?? {};
    if (weights === undefined || !checkpoints.files.some((file) => file.step === step))
      throw this.#differs(`the checkpoint of the best step, ${step}, is missing`);
    return weights;
  }

  evaluation(step: number, set: EvaluatedSet): Recorded {
    const { recorded, contents } = this.#replay;
    const { labels } = evaluatedSamples(this.#dataset, set, contents.configuration);
    const { classes } = contents.configuration.model;
    const line = recorded.evaluations[set].get(step);
    assert(line !== undefined, 'only recorded evaluations are computed');
    const result = score({ values: this.#context.predictions.all(set), labels, classes });
    const { samples, loss, correct } = result;
    const difference = describe(line, { samples, loss, correct });
    if (difference !== undefined)
      throw this.#differs(
        `the evaluation of the ${set} set after step ${step} differs: ${difference}`,
      );
    if (set === 'test' && step === contents.record.step) this.#compareResult(result);
    if (line.chain !== undefined) {
      this.#chain.addEvaluation(line);
      const judged = { ...line, link: line.chain };
      this.#judgement = judge(this.#judgement, judged, contents.configuration);
      if (contents.configuration.keepBest === true && this.#judgement.best.step === step)
        this.#best = { step, weights: this.#context.tensors.snapshot().weights };
      this.#compareFiles(true);
    }
    this.#evaluations += 1;
    return { loss: result.loss, link: line.chain };
  }

  result(): void {}

  left(): void {}

  /** A replay does not write checkpoints. */
  checkpoint(): void {}

  /** A replay does not show GPU readings. */
  devices(): void {}

  log({ level, event, message, fields }: Extract<Effect, { kind: 'log' }>): void {
    const { fingerprint } = this.#replay.checkpoints;
    const theirs = String(fields['fingerprint']);
    if (event === 'ready' && fingerprint !== undefined && theirs !== fingerprint)
      this.#mismatched ??=
        `${message}, but its engine differs from the run's (fingerprint ` +
        `${theirs.slice(0, 12)}, not ${fingerprint.slice(0, 12)})`;
    // The mismatched worker is reported once, at the end.
    const isKnown = this.#hasDiffered || (event === 'lost' && this.#mismatched !== undefined);
    // The message mentions options that only a training run has.
    const words = event === 'waiting' ? 'too few workers are left; waiting for more' : message;
    this.#viewer.log(level === 'info' || isKnown ? 'debug' : level, words, fields);
  }

  finish({ engine }: RunState, { state }: Outcome): Promise<Verified> {
    if (state === 'diverged')
      throw this.#differs(
        `step ${this.#step + 1} differs: recorded as finite, computed as not finite`,
      );
    return Promise.resolve({
      steps: this.#step - this.#replay.start.step,
      evaluations: this.#evaluations,
      checkpoints: this.#comparedCheckpoints,
      model: this.#comparedModel,
      step: this.#step,
      chain: this.#chain.link,
      engine,
    });
  }

  /** Compares the result in run.json with the last evaluation of the test set. */
  #compareResult({ loss, accuracy, confusion }: Score): void {
    const { record, directory } = this.#replay.contents;
    if (record.result === undefined) return;
    const { test } = record.result;
    const difference = describe(
      { loss: test.loss, accuracy: test.accuracy, confusion: JSON.stringify(test.confusion) },
      { loss, accuracy, confusion: JSON.stringify(confusion) },
    );
    if (difference !== undefined)
      throw this.#differs(`the result in ${join(directory, RECORD_FILE)} differs: ${difference}`);
  }

  /**
   * The recorded line for a step. The lines are read a second time, since a long run's lines would
   * not fit in memory.
   */
  #lineOf(step: number): StepLine {
    let next = this.#lines.next();
    while (next.done !== true && next.value.kind === 'evaluation') next = this.#lines.next();
    if (next.done !== true && next.value.kind === 'step' && next.value.step === step)
      return next.value;
    throw this.#differs(
      `the line of step ${step} was changed in ` +
        `${this.#replay.contents.directory}/metrics.jsonl during verification`,
    );
  }

  /** Compares the model and the checkpoint of the step just completed, byte by byte. */
  #compareFiles(isJudged = false): void {
    const { contents, recorded, start } = this.#replay;
    const where = { step: this.#step, chain: this.#chain.link };
    const set = judgingSet(contents.configuration);
    const isLast = isJudged || set === undefined || !recorded.evaluations[set].has(this.#step);
    // With early stopping, a file is from before or after the evaluation of its step.
    const isCurrent = (path: string, chain: string | undefined): boolean => {
      if (this.#compared.has(path) || (!isLast && chain !== where.chain)) return false;
      this.#compared.add(path);
      return true;
    };
    if (
      recorded.model?.step === this.#step &&
      contents.model !== undefined &&
      isCurrent(MODEL_FILE, this.#modelChain())
    ) {
      const { weights } = this.#context.tensors.snapshot();
      const model = encodeModel({ ...recorded.model, ...where, weights });
      this.#compareBytes(join(contents.directory, MODEL_FILE), contents.model, model);
      this.#compareDigest(modelDigest(model));
      this.#comparedModel = true;
    }
    const file = this.#checkpoints.get(this.#step);
    // The checkpoint that the replay started from is trusted.
    if (file === undefined || this.#step === start.step) return;
    const bytes = readCheckpoint(file, contents);
    if (bytes === undefined) return;
    const { configuration } = contents;
    // A replay cannot confirm which workers computed the run. The position of the lines was already
    // compared with metrics.jsonl.
    const { chain, evaluated, judgement, fingerprint, shares, lines } = decoded(() =>
      decodeCheckpoint(bytes, file.path, configuration),
    );
    if (!isCurrent(file.path, chain)) return;
    const snapshot = this.#context.tensors.snapshot();
    const expected = encodeCheckpoint({
      configuration,
      ...where,
      evaluated,
      judgement,
      fingerprint,
      shares,
      lines,
      ...snapshot,
    });
    this.#compareBytes(file.path, bytes, expected);
    this.#comparedCheckpoints += 1;
  }

  /** The chain link in the model's metadata; undefined if it is damaged. */
  #modelChain(): string | undefined {
    const { directory, model } = this.#replay.contents;
    const path = join(directory, MODEL_FILE);
    return model && decoded(() => decodeTensors(model, path)).metadata['chain'];
  }

  /** Compares the model's SHA-256 in run.json with the computed one. */
  #compareDigest(computed: string): void {
    const { record, directory } = this.#replay.contents;
    const recorded = record.model?.sha256 ?? computed;
    if (recorded === computed) return;
    const path = join(directory, RECORD_FILE);
    throw this.#differs(
      `the SHA-256 of the model in ${path} differs: recorded ${recorded}, computed ${computed}`,
    );
  }

  #compareBytes(path: string, recorded: Uint8Array, computed: Uint8Array): void {
    if (Buffer.compare(recorded, computed) === 0) return;
    const at = computed.findIndex((byte, i) => byte !== recorded[i]);
    const where =
      recorded.length === computed.length
        ? `first at byte ${at}`
        : `it has ${recorded.length} bytes, not ${computed.length}`;
    throw this.#differs(`${path} differs from the result of step ${this.#step}: ${where}`);
  }

  /**
   * The error for a difference: DIFFERS, or NOT_REPLAYABLE if the run does not record its engine,
   * since a different engine may be the reason.
   */
  #differs(message: string): ClusterError {
    this.#hasDiffered = true;
    if (this.#replay.checkpoints.fingerprint !== undefined) {
      return differs(
        message,
        'the record was changed, or a machine made an error: verify the run again on ' +
          'another machine of the same kind',
      );
    }
    return new ClusterError(
      'NOT_REPLAYABLE',
      `${message}; ${this.#replay.contents.directory} does not say which engine computed it`,
      { fix: 'set --engine, --device and --threads, if you know the engine' },
    );
  }
}

/** The differences between `recorded` and `computed`, in words; undefined if there are none. */
function describe<R extends Record<string, number | string>>(
  recorded: Readonly<Record<keyof R, number | string>>,
  computed: R,
): string | undefined {
  const found = Object.entries(computed).filter(([name, value]) => recorded[name] !== value);
  const words = found.map(
    ([name, value]) => `${name} recorded ${recorded[name]}, computed ${value}`,
  );
  return words.length === 0 ? undefined : words.join('; ');
}
