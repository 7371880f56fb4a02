import { misclassified, misclassifiedLines } from '../shared/evaluation/misclassified.ts';
import type { EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import { score, type Score } from '../shared/evaluation/score.ts';
import { Chain, firstLink } from '../shared/files/chain.ts';
import { judge, judgingSet } from '../shared/evaluation/judgement.ts';
import type { EvaluationMetrics } from '../shared/files/metrics.ts';
import { evaluatedSamples } from '../shared/dataset/dataset.ts';
import { assert, ClusterError, messageOf } from '../shared/errors.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import { METRICS_FILE, MISTAKES_FILE } from '../shared/files/run-layout.ts';
import type { RunRecord } from '../shared/files/run-schema.ts';
import { learningRateOf } from '../shared/arithmetic/learning-rate.ts';
import { planStep, totalSteps } from '../shared/arithmetic/schedule.ts';
import { EventLimit } from './event-limit.ts';
import type { LeaveReport, ResultReport, StepResult } from './driver.ts';
import type { RecordedLine } from './run-directory/read-run.ts';
import { SpaceWait } from './run-directory/space-wait.ts';
import { engineOf, runRecord } from './run-directory/run-record.ts';
import type { FinishedRun, RecorderOptions, ResumedRecord } from './recorder-options.ts';
import type { RunRecorder } from './serve.ts';
import { SpeedMeter } from './speed-meter.ts';
import type { Effect, Outcome } from './decisions/effects.ts';
import type { Recorded } from './decisions/events.ts';
import type { Resumed, RunState } from './decisions/state.ts';
import type { EvaluationReport, OpenReport } from './viewer.ts';

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
  readonly #space: SpaceWait;
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
  /** Whether the run has ended, or writing the best weights has failed. */
  #isClosing = false;
  #hasFailed = false;
  /** The content of run.json while the run is running. */
  #begun: RunRecord | undefined;

  constructor(options: RecorderOptions) {
    const { record, ...rest } = options;
    const { configuration, clock, date } = rest;
    this.#options = rest;
    this.#past = record;
    this.#chain = new Chain(record?.chain ?? firstLink(configuration));
    this.#speed = new SpeedMeter(clock);
    this.#space = new SpaceWait(rest.after);
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

  evaluation(step: number, set: EvaluatedSet, state: RunState): Recorded | Promise<Recorded> {
    const { predictions, dataset, configuration } = this.#options;
    const { classes } = configuration.model;
    const { labels } = evaluatedSamples(dataset, set, configuration);
    const said = { values: predictions.all(set), labels, classes };
    const result = score(said);
    if (!Number.isFinite(result.loss)) return { loss: undefined };
    const isBest =
      configuration.keepBest === true &&
      set === judgingSet(configuration) &&
      judge(state.judgement, { step, loss: result.loss, link: '' }, configuration).best.step ===
        step;
    if (!isBest) return this.#recordEvaluation(step, set, result, said);
    // The best weights are safe before the line says that they are the best.
    return this.#keepBest(state).then(() => this.#recordEvaluation(step, set, result, said));
  }

  /** Writes the checkpoint of the best weights so far; never resolves if that fails. */
  async #keepBest(state: RunState): Promise<void> {
    await this.#checkpointing;
    this.#checkpointing = this.#writeBest(state).finally(() => {
      this.#checkpointing = undefined;
    });
    await this.#checkpointing;
    if (this.#isClosing || this.#hasFailed) await new Promise(() => undefined);
  }

  async #writeBest(state: RunState): Promise<void> {
    const { viewer, onTakenOver } = this.#options;
    const { step } = state;
    const tell = (retrying: string, { message }: ClusterError) =>
      viewer.log('warn', `the best checkpoint is waiting for space; ${retrying}: ${message}`, {
        step,
      });
    try {
      await this.#space.write(() => this.#saveCheckpoint(state), tell);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      this.#hasFailed = true;
      onTakenOver(error);
    }
  }

  #close(): void {
    this.#isClosing = true;
    this.#space.close();
  }

  #recordEvaluation(
    step: number,
    set: EvaluatedSet,
    result: Score,
    said: EvaluationReport['predictions'],
  ): Recorded {
    const { files, viewer, configuration, clock } = this.#options;
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
    const chain = this.#evaluationLink(line, recorded);
    if (recorded === undefined)
      files.evaluation({ ...line, ...(chain === undefined ? {} : { chain }) });
    else if (
      recorded.line.loss !== line.loss ||
      recorded.line.correct !== line.correct ||
      recorded.line.chain !== chain
    )
      throw differs(step, files.path);
    else files.passed(recorded.end);
    this.#event('evaluation', { ...line, confusion: result.confusion });
    viewer.evaluation({ ...line, confusion: result.confusion, predictions: said });
    this.#speed.pause(clock() - this.#lastStepAt);
    this.#lastStepAt = clock();
    return { loss: result.loss, link: chain };
  }

  /**
   * Saves the last weights in a checkpoint, and resolves with the best ones. They are not needed
   * again: the run ends after the test of the best ones.
   */
  async restore(state: RunState): Promise<Float32Array> {
    const { files, configuration, snapshot } = this.#options;
    const { judgement, step } = state;
    assert(judgement !== undefined, 'a run with evaluations has a best one');
    await this.#checkpointing;
    this.checkpoint(state);
    await this.#checkpointing;
    if (judgement.best.step === step) return snapshot().weights;
    return await files.weightsAt(judgement.best.step, configuration);
  }

  /**
   * The link of an evaluation that counts for early stopping; undefined for any other. A run that
   * was killed at its very end repeats an evaluation whose link its checkpoint already has.
   */
  #evaluationLink(line: EvaluationMetrics, recorded: RecordedLine | undefined): string | undefined {
    if (line.set !== judgingSet(this.#options.configuration)) return undefined;
    const isChained = recorded !== undefined && recorded.line.chain === this.#chain.link;
    return isChained ? this.#chain.link : this.#chain.addEvaluation(line);
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
    this.#close();
    await this.#checkpointing?.catch(() => undefined);
    await this.#options.files.close().catch(() => undefined);
  }

  async #finish(state: RunState, outcome: Outcome): Promise<RunRecord> {
    const { files, configuration, dataset, predictions, snapshot } = this.#options;
    this.#close();
    let record = this.#record(state, outcome);
    await this.#checkpointing;
    // Before the best weights were restored, the last ones were saved.
    const best = state.weights === 'best' ? state.judgement?.best : undefined;
    if (this.#step > 0 && outcome.state !== 'diverged' && best === undefined)
      await this.#writeCheckpoint(state);
    if (this.#step > 0 && (outcome.state === 'finished' || outcome.state === 'interrupted')) {
      const { weights } = snapshot();
      const { step, link } = best ?? { step: this.#step, link: this.#chain.link };
      const sha256 = await files.writeModel({ configuration, step, chain: link, weights });
      record = { ...record, model: { sha256, ...(best === undefined ? {} : { step }) } };
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

  /** Writes a checkpoint, and keeps that of the best weights. */
  async #saveCheckpoint(state: RunState): Promise<void> {
    const { files, viewer, configuration, snapshot, clock } = this.#options;
    const began = clock();
    const { step, evaluated, judgement, fingerprint, countedFrom, delivered } = state;
    assert(fingerprint !== undefined, 'a step was computed by engines with a fingerprint');
    const spared = configuration.keepBest === true ? judgement?.best.step : undefined;
    const bytes = await files.writeCheckpoint(
      {
        configuration,
        step,
        evaluated,
        judgement,
        fingerprint,
        chain: this.#chain.link,
        shares: { from: countedFrom, samples: delivered },
        ...snapshot(),
      },
      spared,
    );
    this.#event('checkpoint', { step });
    viewer.checkpoint({ step, bytes, milliseconds: clock() - began });
  }

  /**
   * Writes a checkpoint; returns false if that failed. Training continues without it, unless
   * another coordinator has taken over the run.
   */
  async #writeCheckpoint(state: RunState): Promise<boolean> {
    const { viewer, onTakenOver } = this.#options;
    const { step } = state;
    try {
      await this.#saveCheckpoint(state);
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
