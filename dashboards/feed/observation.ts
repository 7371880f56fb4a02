import type { LeaveReport, ResultReport } from '../../coordinator/driver.ts';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import type { Inspection } from '../../coordinator/inspection.ts';
import type {
  CheckpointReport,
  EvaluationReport,
  OpenReport,
  RunViewer,
  StepReport,
} from '../../coordinator/viewer.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { misclassified } from '../../shared/evaluation/misclassified.ts';
import type { Predictions } from '../../shared/evaluation/predictions.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import { GRADIENT_NORM_MILLISECONDS } from '../../shared/limits.ts';
import type { RunView, Status, Update, WorkerStatus } from './api.ts';
import { Board, type RunFacts } from './board.ts';
import { eventsIn } from './event-lines.ts';
import { RunHistory } from './history.ts';
import { WorkerLabels } from '../metrics/worker-labels.ts';
import { worstMistakes } from './worst-mistakes.ts';
import { pastLines } from './past-lines.ts';
import { StepRate } from './step-rate.ts';
import { PhaseTimes } from './worker-phases.ts';
import { RunMetrics, type MetricsSettings } from '../metrics/run-metrics.ts';
import { TimeShares } from './time-shares.ts';
import { readinessOf, waitText } from './readiness.ts';
import type { Weights } from './source.ts';
import { tap } from './json-lines.ts';
import { workerStatuses } from './worker-statuses.ts';

/** The part of a running coordinator that the dashboards read. */
export interface ObservedRun {
  readonly directory: string;
  inspect(): Inspection;
  weights(): Weights;
  unauthorized(): number;
  waitingBytes(): number;
  /** Whether lines of metrics and events are waiting because the disk is full. */
  isDiskFull(): boolean;
}

export interface ObservationOptions {
  readonly facts: RunFacts;
  readonly metrics: MetricsSettings;
  /** [samples, pixels] of each set that is evaluated. */
  readonly imagesOf: (set: EvaluatedSet) => Uint8Array;
  /** A monotonic clock in milliseconds. */
  readonly clock: () => number;
  /**
   * Called if the history from earlier coordinators cannot be read; the curve then lacks that
   * history.
   */
  readonly notRecalled: (error: unknown) => void;
}

/** Collects a run's reports for scrapes, for new pages, and for updates to open pages. */
export class Observation implements RunViewer {
  readonly #options: ObservationOptions;
  readonly #labels = new WorkerLabels();
  readonly #board: Board;
  readonly #metrics: RunMetrics;
  readonly #phases = new PhaseTimes();
  readonly #shares = new TimeShares();
  readonly #stepRate = new StepRate();
  /**
   * When this coordinator opened the run, and the seconds that earlier coordinators had spent on
   * it.
   */
  #begun: number;
  #secondsBefore = 0;
  /** The step of the last checkpoint, if writing it failed. */
  #unkept: number | undefined;
  #run: ObservedRun | undefined;
  /** The last completed step. */
  #last: Pick<StepReport, 'step' | 'epoch'> = { step: 0, epoch: 0 };
  #end: number | undefined;
  #normAt = -Infinity;
  #turnAt: number;
  /** The workers as of the last turn. */
  #workers: readonly WorkerStatus[] = [];
  /** An evaluation that has not been searched for mistakes yet. */
  #unread: { readonly report: EvaluationReport; readonly predictions: Predictions } | undefined;

  constructor(options: ObservationOptions) {
    this.#options = options;
    this.#board = new Board(options.facts, (worker) => this.#labels.of(worker));
    this.#metrics = new RunMetrics(options.metrics, this.#labels);
    this.#turnAt = options.clock();
    this.#begun = this.#turnAt;
  }

  /** Sets the coordinator that view(), turn() and scrape() read. */
  attach(run: ObservedRun): void {
    this.#run = run;
  }

  opened(report: OpenReport): void {
    const { run, term, started, step, epoch, past } = report;
    const history = new RunHistory();
    const events = tap(eventsIn([Buffer.from(report.events)]), (event) => history.add(event));
    this.#begun = this.#options.clock();
    // This is a copy, because the report itself references all past events.
    this.#last = { step, epoch };
    this.#board.opened({ run, term, started, events });
    this.#secondsBefore = history.seconds();
    if (past !== undefined)
      this.#board
        .recall(pastLines(past()))
        .catch((error: unknown) => this.#options.notRecalled(error));
    this.#metrics.opened(report);
  }

  started(): void {}

  result({ worker, microseconds, milliseconds }: ResultReport): void {
    this.#phases.result({ worker: this.#labels.of(worker), microseconds, milliseconds });
  }

  step(report: StepReport): void {
    this.#last = report;
    this.#phases.step((phases) => {
      this.#metrics.phases(phases);
      this.#shares.add(phases);
    });
    this.#shares.step(report.milliseconds);
    this.#metrics.step(report);
    this.#board.step(report);
    const now = this.#options.clock();
    if (now - this.#normAt < GRADIENT_NORM_MILLISECONDS) return;
    this.#normAt = now;
    const norm = report.gradientNorm();
    this.#metrics.gradientNorm(norm);
    this.#board.gradientNorm(report.step, norm);
  }

  evaluation(report: EvaluationReport): void {
    this.#board.evaluation(report);
    this.#metrics.evaluation(report);
    const { values, labels, classes } = report.predictions;
    // Searching for mistakes now would delay the workers, so it is done at the next turn.
    this.#unread = { report, predictions: { values: values.slice(), labels, classes } };
  }

  checkpoint(report: CheckpointReport): void {
    this.#unkept = undefined;
    this.#metrics.checkpoint(report);
  }

  checkpointFailed(step: number): void {
    this.#unkept = step;
    this.#metrics.checkpointFailed();
  }

  left(report: LeaveReport): void {
    this.#metrics.workers.left(report);
  }

  devices(worker: string, gpus: readonly GpuReading[]): void {
    this.#metrics.workers.devices(this.#labels.of(worker), gpus);
  }

  event(event: string, fields: Readonly<Record<string, unknown>>): void {
    if (event === 'hello') this.#metrics.workers.joined();
    this.#board.event(event, fields);
  }

  log(): void {}

  ended(outcome: Outcome): void {
    this.#end = this.#options.clock();
    this.#board.ended(outcome);
  }

  get problem(): string | undefined {
    if (this.#run?.isDiskFull() === true)
      return 'the disk is full: training continues, and metrics and events are kept in memory';
    return this.#unkept === undefined
      ? undefined
      : `the checkpoint of step ${this.#unkept} could not be written: after a crash, the run ` +
          `would resume from an older one`;
  }

  get isOpen(): boolean {
    return this.#run !== undefined;
  }

  get directory(): string | undefined {
    return this.#run?.directory;
  }

  /** The view for a page that has just opened; undefined before the run is open. */
  view(): RunView | undefined {
    if (this.#run === undefined) return undefined;
    this.#readMistakes();
    return this.#board.view(this.#status(this.#run.inspect()));
  }

  /** Reads the run's state and returns the changes for open pages. Called periodically. */
  turn(): Update | undefined {
    if (this.#run === undefined) return undefined;
    const now = this.#options.clock();
    this.#shares.turn(now - this.#turnAt);
    this.#turnAt = now;
    this.#readMistakes();
    const inspection = this.#run.inspect();
    this.#stepRate.turn(this.#last.step, now, readinessOf(inspection).isWaiting);
    this.#forget(inspection, now);
    const status = this.#status(inspection);
    this.#workers = status.workers;
    for (const { name, state } of status.workers)
      if (state !== 'done') this.#board.state(name, state);
    return this.#board.takeUpdate(status);
  }

  /** The metrics as text with their Content-Type; undefined before the run is open. */
  async scrape(): Promise<{ readonly type: string; readonly text: string } | undefined> {
    if (this.#run === undefined) return undefined;
    const inspection = this.#run.inspect();
    const [unauthorized, waitingBytes] = [this.#run.unauthorized(), this.#run.waitingBytes()];
    this.#forget(inspection, this.#options.clock());
    const isOver = this.#end !== undefined;
    const workers = workerStatuses(inspection, this.#workers, this.#labels, this.#shares, false);
    const text = await this.#metrics.scrape({
      inspection,
      workers,
      unauthorized,
      waitingBytes,
      isOver,
    });
    return { type: this.#metrics.contentType, text };
  }

  weights(): Weights | undefined {
    return this.#run?.weights();
  }

  /** Drops workers that have been gone for a long time, except after the end of the run. */
  #forget({ workers }: Inspection, now: number): void {
    if (this.#end === undefined) this.#labels.look(new Set(workers.map(({ name }) => name)), now);
    const forgotten = this.#labels.takeForgotten();
    if (forgotten.length === 0) return;
    this.#workers = this.#workers.filter(({ name }) => !forgotten.includes(name));
    for (const worker of forgotten) {
      for (const part of [this.#metrics, this.#board, this.#phases, this.#shares])
        part.forget(worker);
    }
  }

  #readMistakes(): void {
    if (this.#unread === undefined) return;
    const { report, predictions } = this.#unread;
    this.#unread = undefined;
    const { set, step, confusion } = report;
    const images = this.#options.imagesOf(set);
    const pixels = images.length / predictions.labels.length;
    const mistakes = worstMistakes(misclassified(predictions), images, pixels);
    this.#board.evaluated({ set, step, confusion, mistakes });
  }

  #status(inspection: Inspection): Status {
    const outcome = this.#board.outcome;
    const { counts } = inspection;
    const readiness = readinessOf(inspection);
    const now = this.#options.clock();
    const { step, epoch } = this.#last;
    const left = this.#options.facts.totalSteps - step;
    return {
      state: outcome?.state ?? (readiness.isWaiting ? 'gathering' : 'running'),
      message: outcome?.message ?? '',
      problem: outcome === undefined ? (this.problem ?? '') : '',
      at: Date.now(),
      step,
      epoch,
      learningRate: this.#options.metrics.shownRateOf(step),
      seconds: this.#secondsBefore + ((this.#end ?? now) - this.#begun) / 1000,
      secondsLeft: outcome === undefined ? this.#stepRate.secondsFor(left, now) : undefined,
      workers: workerStatuses(
        inspection,
        this.#workers,
        this.#labels,
        this.#shares,
        outcome !== undefined,
      ),
      waiting: readiness.isWaiting ? waitText(readiness) : '',
      joined: this.#metrics.workers.joins,
      lost: this.#metrics.workers.lost,
      stragglerSteps: counts.stragglerSteps,
      reassigned: counts.reassigned,
      checkpointStep: this.#board.checkpointStep,
    };
  }
}
