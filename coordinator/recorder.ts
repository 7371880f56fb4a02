import {
  misclassified,
  misclassifiedLines,
  type Misclassified,
} from '../shared/evaluation/misclassified.ts';
import type { EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import { score, type Score } from '../shared/evaluation/score.ts';
import { Chain, firstLink } from '../shared/files/chain.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Checkpoint } from '../shared/files/checkpoint-file.ts';
import { evaluatedSamples, type Dataset } from '../shared/dataset/dataset.ts';
import { assert, ClusterError, messageOf } from '../shared/errors.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import { METRICS_FILE, MISTAKES_FILE } from '../shared/files/run-layout.ts';
import type { RunRecord } from '../shared/files/run-schema.ts';
import { learningRateOf } from '../shared/arithmetic/learning-rate.ts';
import { planStep, totalSteps } from '../shared/arithmetic/schedule.ts';
import { EventLimit } from './event-limit.ts';
import type { LeaveReport, ResultReport, StepResult } from './driver.ts';
import type { RecordedLine, RecordedLines } from './run-directory/read-run.ts';
import type { Predictions } from './predictions.ts';
import { engineOf, runRecord } from './run-directory/run-record.ts';
import type { RunRecorder } from './serve.ts';
import { SpeedMeter } from './speed-meter.ts';
import type { Effect, Outcome } from './decisions/effects.ts';
import type { Resumed, RunState } from './decisions/state.ts';
import type { RunFiles } from './run-directory/run-files.ts';
import type { OpenReport, RunViewer } from './viewer.ts';

export interface RecorderOptions {
  readonly files: RunFiles;
  readonly viewer: RunViewer;
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly predictions: Predictions;
  readonly term: number;
  readonly version: string;
  readonly launch: RunRecord['launch'];
  /** The monotonic clock, in milliseconds. */
  readonly clock: () => number;
  /** The time of day, which may jump. */
  readonly date: () => Date;
  /** Copies of the current weights and the optimizer's state. */
  readonly snapshot: () => Pick<Checkpoint, 'weights' | 'state'>;
  /** Draws a finished run's artifacts. Without it, only the list of mistakes is written. */
  readonly draw?: Draw | undefined;
  /** Called when another coordinator has taken over the run. */
  readonly onTakenOver: (error: ClusterError) => void;
  /** Where the record of a resumed run continues; undefined for a new run. */
  readonly record: ResumedRecord | undefined;
  /** Where the reducers resume; undefined at the beginning of the run. */
  readonly resumed: Resumed | undefined;
}

/** A finished run whose model and lines have been written. */
export interface FinishedRun {
  readonly directory: string;
  readonly record: RunRecord;
  /** In sample order. */
  readonly wrong: readonly Misclassified[];
}

/** Creates the files for artifacts/, in the order in which to write them. */
export type Draw = (
  run: FinishedRun,
) => Promise<readonly { readonly name: string; readonly bytes: Uint8Array }[]>;

export interface ResumedRecord {
  readonly started: string;
  readonly step: number;
  readonly chain: string;
  readonly weights: bigint;
  /** The lines of metrics.jsonl, and the last lines of events.jsonl. */
  readonly lines: RecordedLines;
  readonly events: string;
}

/**
 * The last time that run.json can contain. A copied or edited run.json may contain a later start
 * than this machine's clock shows.
 */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/**
 * Records the run: metrics, chain, events, checkpoints and, at the end, the result and the model.
 */
export class Recorder implements RunRecorder {
  readonly #options: Omit<RecorderOptions, 'record'>;
  /** A resumed run's lines, kept until `opened` has passed them to the viewer. */
  #past: Pick<ResumedRecord, 'lines' | 'events'> | undefined;
  readonly #chain: Chain;
  readonly #speed: SpeedMeter;
  readonly #started: string;
  /** When this coordinator opened the run, by the monotonic clock. */
  readonly #opened: number;
  /** The recorded lines of steps that are recomputed, by kind or set and step. */
  readonly #recorded: Map<string, RecordedLine>;
  readonly #limit = new EventLimit();
  #weights: bigint;
  #step: number;
  readonly #firstStep: number;
  #lastStepAt: number;
  #score: Score | undefined;
  #checkpointing: Promise<void> | undefined;
  /** The content of run.json while the run is running. */
  #begun: RunRecord | undefined;

  constructor(options: RecorderOptions) {
    const { record, ...rest } = options;
    const { configuration, clock, date } = rest;
    this.#options = rest;
    this.#past = record;
    this.#chain = new Chain(record?.chain ?? firstLink(configuration));
    this.#speed = new SpeedMeter(clock);
    this.#started = record?.started ?? date().toISOString();
    this.#opened = clock();
    this.#weights = record?.weights ?? 0n;
    this.#step = record?.step ?? 0;
    this.#firstStep = this.#step + 1;
    const { covered, later } = record?.lines ?? { covered: undefined, later: [] };
    // A run that was killed at its very end recomputes its last evaluation.
    const again =
      covered?.line.kind === 'evaluation' && covered.line.step === this.#step
        ? [covered, ...later]
        : later;
    this.#recorded = new Map(again.map((old) => [keyOf(old.line), old]));
    this.#lastStepAt = clock();
  }

  get run(): string {
    return this.#options.files.id;
  }

  get directory(): string {
    return this.#options.files.path;
  }

  get term(): number {
    return this.#options.term;
  }

  get waitingBytes(): number {
    return this.#options.files.waitingBytes;
  }

  /** Whether the disk is full and lines are waiting for space. */
  get isDiskFull(): boolean {
    return this.#options.files.isFull;
  }

  get resumed(): Resumed | undefined {
    return this.#options.resumed;
  }

  /** Writes the new term to run.json before any worker can learn it. */
  async opened(state: RunState): Promise<void> {
    const { files, term, viewer, configuration } = this.#options;
    this.#begun = this.#record(state, undefined);
    await files.writeRun(this.#begun);
    viewer.opened({
      run: this.run,
      directory: this.directory,
      term,
      started: this.#started,
      step: state.step,
      epoch: state.step === 0 ? 0 : planStep(configuration, state.step).epoch,
      past: this.#pastLines(),
      events: this.#past?.events ?? '',
    });
    this.#past = undefined;
    this.#event('start', { term, step: state.step });
  }

  step({ step, loss, correct, checksum, milliseconds, ...rest }: StepResult): void {
    const { files, viewer, configuration, clock } = this.#options;
    const now = clock();
    const { epoch, samples } = planStep(configuration, step);
    const learningRate = learningRateOf(configuration, step);
    const line = { step, epoch, samples, loss, correct, milliseconds };
    const chain = this.#chain.add({ step, samples, loss, correct, weights: checksum });
    if (step === this.#firstStep || step === totalSteps(configuration))
      this.#event('step', { step });
    if (step === this.#firstStep) viewer.started();
    const recorded = this.#recorded.get(keyOf({ kind: 'step', step }));
    if (recorded === undefined)
      files.step({ ...line, learning_rate: learningRate, weights: checksum, chain });
    else if (recorded.line.kind !== 'step' || recorded.line.chain !== chain)
      throw differs(step, files.path);
    else files.passed(recorded.end);
    const recordMilliseconds = clock() - now;
    viewer.step({ ...line, learningRate, recordMilliseconds, ...rest });
    this.#speed.step(step);
    this.#lastStepAt = now;
    this.#weights = checksum;
    this.#step = step;
  }

  evaluation(step: number, set: EvaluatedSet): { finite: boolean } {
    const { files, viewer, predictions, dataset, configuration, clock } = this.#options;
    const { classes } = configuration.model;
    const { labels } = evaluatedSamples(dataset, set, configuration);
    const said = { values: predictions.all(set), labels, classes };
    const result = score(said);
    if (!Number.isFinite(result.loss)) return { finite: false };
    if (set === 'test') this.#score = result;
    const { epoch } = planStep(configuration, step);
    const line = {
      set,
      step,
      epoch,
      samples: result.samples,
      loss: result.loss,
      correct: result.correct,
    };
    const recorded = this.#recorded.get(keyOf({ kind: 'evaluation', set, step }));
    if (recorded === undefined) files.evaluation(line);
    else if (recorded.line.loss !== line.loss || recorded.line.correct !== line.correct)
      throw differs(step, files.path);
    else files.passed(recorded.end);
    this.#event('evaluation', { ...line, confusion: result.confusion });
    viewer.evaluation({ ...line, confusion: result.confusion, predictions: said });
    this.#speed.pause(clock() - this.#lastStepAt);
    this.#lastStepAt = clock();
    return { finite: true };
  }

  result(report: ResultReport): void {
    this.#options.viewer.result(report);
  }

  left(report: LeaveReport): void {
    this.#options.viewer.left(report);
  }

  log({ level, event, message, fields }: Extract<Effect, { kind: 'log' }>): void {
    const { viewer, clock } = this.#options;
    this.#tellSuppressed(clock(), false);
    const { worker } = fields;
    // Viewers count all events, including those that are not written.
    if (typeof worker === 'string' && !this.#limit.admits(worker))
      return viewer.event(event, { ...fields, message });
    this.#event(event, { ...fields, message });
    viewer.log(level, message, fields);
  }

  devices(worker: string, gpus: readonly GpuReading[]): void {
    this.#options.viewer.devices(worker, gpus);
  }

  /** The lines up to the checkpoint, for viewers; undefined without a checkpoint. */
  #pastLines(): OpenReport['past'] {
    const end = this.#past?.lines.covered?.end;
    return end && (() => this.#options.files.pastLines(end));
  }

  /** Writes a checkpoint, unless the previous one is still being written. */
  checkpoint(state: RunState): void {
    if (this.#checkpointing !== undefined) return;
    this.#checkpointing = this.#checkpoint(state).finally(() => {
      this.#checkpointing = undefined;
    });
  }

  /** Reports, once a minute and at the end, how many worker events were suppressed. */
  #tellSuppressed(now: number, isEnd: boolean): void {
    for (const { worker, count } of this.#limit.take(now, isEnd)) {
      const whom = worker === undefined ? 'several workers' : `worker ${worker}`;
      const message = `${count} events about ${whom} were not written: too many in a minute`;
      this.#event('suppressed', { ...(worker === undefined ? {} : { worker }), count, message });
      this.#options.viewer.log('warn', message, {});
    }
  }

  async #checkpoint(state: RunState): Promise<void> {
    if (await this.#writeCheckpoint(state)) await this.#nameEngine(state);
  }

  /**
   * Records the engine in run.json after the first checkpoint, because a run that is killed must be
   * resumed with its own engine. The rest of run.json stays unchanged, as later lines may not have
   * been written yet. A failed write is retried after the next checkpoint.
   */
  async #nameEngine(state: RunState): Promise<void> {
    const { files, viewer, onTakenOver } = this.#options;
    if (this.#begun === undefined || this.#begun.engine !== undefined) return;
    const named = { ...this.#begun, ...engineOf(state) };
    try {
      await files.writeRun(named);
      this.#begun = named;
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      if (error.code === 'LOCKED') return onTakenOver(error);
      viewer.log('warn', `cannot record the engine in run.json yet: ${error.message}`, {});
    }
  }

  /** Writes an event and shows it to the viewers. */
  #event(event: string, fields: Readonly<Record<string, unknown>>): void {
    this.#options.files.event(event, fields);
    this.#options.viewer.event(event, fields);
  }

  #record(state: RunState, outcome: Outcome | undefined): RunRecord {
    const result = this.#score && {
      score: this.#score,
      stepsPerSecond: this.#speed.stepsPerSecond(),
    };
    const where = { step: this.#step, chain: this.#chain.link, weights: this.#weights };
    const when = { started: this.#started, now: this.#now() };
    return runRecord(this.#options, { ...when, ...where, result }, state, outcome);
  }

  /**
   * The time of day, but at least the start plus the elapsed time, since the clock may be set back,
   * and at most LAST_TIME.
   */
  #now(): string {
    const { clock, date } = this.#options;
    const atLeast = Date.parse(this.#started) + clock() - this.#opened;
    return new Date(Math.min(Math.max(date().getTime(), atLeast), LAST_TIME)).toISOString();
  }

  /**
   * Writes the model, the misclassified samples and the final run.json, in this order, and closes
   * all files even if a write fails.
   */
  async finish(state: RunState, outcome: Outcome): Promise<RunRecord> {
    const { files } = this.#options;
    try {
      const record = await this.#finish(state, outcome);
      await files.close();
      this.#options.viewer.ended(outcome);
      return record;
    } catch (error) {
      // The first error is the one to report.
      await files.close().catch(() => undefined);
      throw error;
    }
  }

  /** Closes all files, so that another coordinator may resume the run immediately. */
  async abandon(): Promise<void> {
    await this.#checkpointing?.catch(() => undefined);
    await this.#options.files.close().catch(() => undefined);
  }

  async #finish(state: RunState, outcome: Outcome): Promise<RunRecord> {
    const { files, configuration, dataset, predictions, snapshot } = this.#options;
    let record = this.#record(state, outcome);
    await this.#checkpointing;
    if (this.#step > 0 && outcome.state !== 'diverged') await this.#writeCheckpoint(state);
    if (this.#step > 0 && (outcome.state === 'finished' || outcome.state === 'interrupted')) {
      const { weights } = snapshot();
      const model = { configuration, step: this.#step, chain: this.#chain.link, weights };
      record = { ...record, model: { sha256: await files.writeModel(model) } };
    }
    if (outcome.state === 'finished') {
      const classes = configuration.model.classes;
      const wrong = misclassified({
        values: predictions.all('test'),
        labels: dataset.test.labels,
        classes,
      });
      await files.writeArtifact(MISTAKES_FILE, misclassifiedLines(wrong));
      await this.#draw({ directory: files.path, record, wrong });
    }
    this.#tellSuppressed(this.#options.clock(), true);
    this.#event('end', { state: outcome.state, step: this.#step });
    await files.syncLines();
    await files.writeRun(record);
    return record;
  }

  /**
   * Writes the artifacts before run.json says `finished`, so that a finished run is complete. A run
   * whose artifacts cannot be drawn still finishes.
   */
  async #draw(run: FinishedRun): Promise<void> {
    const { files, viewer, draw } = this.#options;
    if (draw === undefined) return;
    try {
      await files.syncLines();
      for (const { name, bytes } of await draw(run)) await files.writeArtifact(name, bytes);
    } catch (error) {
      if (error instanceof ClusterError && error.code === 'LOCKED') throw error;
      const message = messageOf(error);
      this.#event('pictures_failed', { message });
      viewer.log('warn', `the report and its pictures could not be created: ${message}`, {
        err: error,
      });
    }
  }

  /**
   * Writes a checkpoint; returns false if that failed. Training continues without it, unless
   * another coordinator has taken over the run.
   */
  async #writeCheckpoint(state: RunState): Promise<boolean> {
    const { files, viewer, configuration, snapshot, onTakenOver, clock } = this.#options;
    const began = clock();
    const { step, evaluated, fingerprint, countedFrom, delivered } = state;
    assert(fingerprint !== undefined, 'a step was computed by engines with a fingerprint');
    try {
      const bytes = await files.writeCheckpoint({
        configuration,
        step,
        evaluated,
        fingerprint,
        chain: this.#chain.link,
        shares: { from: countedFrom, samples: delivered },
        ...snapshot(),
      });
      this.#event('checkpoint', { step });
      viewer.checkpoint({ step, bytes, milliseconds: clock() - began });
      return true;
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      if (error.code === 'LOCKED') {
        onTakenOver(error);
        return false;
      }
      this.#event('checkpoint_failed', { step, message: error.message });
      viewer.checkpointFailed(step);
      viewer.log('warn', `cannot write the checkpoint of step ${step}: ${error.message}`, { step });
      return false;
    }
  }
}

/** Identifies a line: each step has one, and one per evaluated set. */
function keyOf(
  line:
    | { readonly kind: 'step'; readonly step: number }
    | { readonly kind: 'evaluation'; readonly set: EvaluatedSet; readonly step: number },
): string {
  return `${line.kind === 'step' ? line.kind : line.set} ${line.step}`;
}

function differs(step: number, path: string): ClusterError {
  return new ClusterError(
    'REPLAY',
    `step ${step} was recomputed and differs from ${path}/${METRICS_FILE}`,
    {
      fix:
        'resume the run with its own engine (--engine, --device, --threads) on a machine of ' +
        "the same kind; if one of the run's files was changed, start a new run",
    },
  );
}
