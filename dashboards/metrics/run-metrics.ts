import type { Inspection } from '../../coordinator/inspection.ts';
import type {
  CheckpointReport,
  EvaluationReport,
  OpenReport,
  StepReport,
} from '../../coordinator/viewer.ts';
import { COORDINATOR, rejections, type PhaseName, type RejectionName } from './catalogue.ts';
import type { WorkerStatus } from '../feed/api.ts';
import type { WorkerLabels } from './worker-labels.ts';
import { MetricRegistry } from './metric-registry.ts';
import type { WorkerPhases } from '../feed/worker-phases.ts';
import type { Series } from './metric-registry.ts';
import { WorkerMetrics } from './worker-metrics.ts';

const unknownAtFirst = [
  'train_loss',
  'train_accuracy_ratio',
  'gradient_norm',
  'checkpoint_size_bytes',
  'checkpoint_duration_seconds',
] as const;

/** One worker's phases. */
type WorkerSeries = Readonly<Record<'compute' | 'exchange', Series>>;

/** The state of the run that is collected only when a scrape arrives. */
export interface ScrapeInput {
  readonly inspection: Inspection;
  readonly workers: readonly WorkerStatus[];
  readonly unauthorized: number;
  /** Whether the run has ended. */
  readonly isOver: boolean;
  readonly waitingBytes: number;
}

export interface MetricsSettings {
  /** The learning rate of a step. */
  readonly learningRateOf: (step: number) => number;
  /** The same for the page: undefined before the first step, and if all steps have the same. */
  readonly shownRateOf: (step: number) => number | undefined;
  readonly epochs: number;
  readonly totalSteps: number;
  /** The run_info labels that are known from the start. */
  readonly info: Readonly<Record<string, string>>;
  readonly classNames: readonly string[];
}

/** Updates histograms and sums at each step, and all other metrics at each scrape. */
export class RunMetrics {
  readonly #registry = new MetricRegistry();
  readonly #settings: MetricsSettings;
  readonly workers: WorkerMetrics;
  readonly #step: Series;
  readonly #update: Series;
  readonly #record: Series;
  readonly #workerPhases = new Map<string, WorkerSeries>();
  #term = 0;
  #last: StepReport | undefined;
  #steps = 0;
  #lossSum = 0;
  #correct = 0;
  #checkpointFailures = 0;

  constructor(settings: MetricsSettings, labels: WorkerLabels) {
    this.#settings = settings;
    this.workers = new WorkerMetrics(this.#registry, labels);
    this.#step = this.#registry.series('step_duration_seconds');
    this.#update = this.#phase('update', COORDINATOR);
    this.#record = this.#phase('record', COORDINATOR);
    for (const name of unknownAtFirst) this.#registry.hide(name);
    this.#registry.gauge('epochs_planned').set(settings.epochs);
    this.#registry.gauge('steps_planned').set(settings.totalSteps);
  }

  /** `step` is the last step before this coordinator started, and `epoch` is its epoch. */
  opened({ run, term, step, epoch }: Pick<OpenReport, 'run' | 'term' | 'step' | 'epoch'>): void {
    this.#registry.setRun(run);
    this.#registry.gauge('train_step').set(step);
    this.#registry.gauge('learning_rate').set(this.#settings.learningRateOf(Math.max(1, step)));
    this.#registry.gauge('epoch').set(epoch);
    this.#term = term;
  }

  step(report: StepReport): void {
    this.#last = report;
    this.#steps += 1;
    this.#lossSum += report.loss * report.samples;
    this.#correct += report.correct;
    this.#step.observe(report.milliseconds / 1000);
    this.#update.observe(report.updateMilliseconds / 1000);
    this.#record.observe(report.recordMilliseconds / 1000);
  }

  phases({ worker, compute, exchange }: WorkerPhases): void {
    let series = this.#workerPhases.get(worker);
    if (series === undefined) {
      series = {
        compute: this.#phase('compute', worker),
        exchange: this.#phase('exchange', worker),
      };
      this.#workerPhases.set(worker, series);
    }
    series.compute.observe(compute / 1000);
    series.exchange.observe(exchange / 1000);
  }

  gradientNorm(norm: number): void {
    this.#registry.gauge('gradient_norm').set(norm);
  }

  evaluation({ set, step, loss, correct, samples, confusion }: EvaluationReport): void {
    const { classNames } = this.#settings;
    this.#registry.gauge('evaluation_step').set({ set }, step);
    this.#registry.gauge('evaluation_loss').set({ set }, loss);
    this.#registry.gauge('evaluation_accuracy_ratio').set({ set }, correct / samples);
    const matrix = this.#registry.gauge('confusion_matrix_samples');
    confusion.forEach((row, actual) =>
      row.forEach((count, predicted) =>
        matrix.set(
          { actual: classNames[actual] ?? '', predicted: classNames[predicted] ?? '' },
          count,
        ),
      ),
    );
  }

  checkpoint({ bytes, milliseconds }: CheckpointReport): void {
    this.#registry.gauge('checkpoint_last_success_timestamp_seconds').set(Date.now() / 1000);
    this.#registry.gauge('checkpoint_size_bytes').set(bytes);
    this.#registry.gauge('checkpoint_duration_seconds').set(milliseconds / 1000);
  }

  checkpointFailed(): void {
    this.#checkpointFailures += 1;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text for a scrape. */
  scrape(input: ScrapeInput): Promise<string> {
    for (const series of this.#allSeries()) series.flush();
    this.#setRun(input);
    this.workers.set(input.workers, input.inspection);
    this.#setCounts(input);
    return this.#registry.text();
  }

  /** Drops a worker; its label may then be given to a different worker. */
  forget(worker: string): void {
    this.workers.forget(worker);
    const { compute, exchange } = this.#workerPhases.get(worker) ?? {};
    compute?.forget();
    exchange?.forget();
    this.#workerPhases.delete(worker);
  }

  #phase(phase: PhaseName, worker: string): Series {
    return this.#registry.series('step_phase_duration_seconds', { phase, worker });
  }

  *#allSeries(): Generator<Series> {
    yield* [this.#step, this.#update, this.#record];
    for (const { compute, exchange } of this.#workerPhases.values()) yield* [compute, exchange];
  }

  #setRun({ inspection: { phase, engine }, isOver }: ScrapeInput): void {
    const registry = this.#registry;
    const info = registry.gauge('run_info');
    info.reset();
    const own = {
      engine: engine?.kind ?? '',
      device: engine?.device ?? '',
      term: String(this.#term),
    };
    info.set({ ...this.#settings.info, ...own }, 1);
    registry.gauge('training_running').set(phase === 'running' && !isOver ? 1 : 0);
    const last = this.#last;
    if (last === undefined) return;
    registry.gauge('epoch').set(last.epoch);
    registry.gauge('train_step').set(last.step);
    registry.gauge('train_loss').set(last.loss);
    registry.gauge('learning_rate').set(last.learningRate);
    registry.gauge('train_accuracy_ratio').set(last.correct / last.samples);
  }

  #setCounts({ inspection: { counts }, unauthorized, waitingBytes }: ScrapeInput): void {
    const registry = this.#registry;
    registry.count('train_steps_total', this.#steps);
    registry.count('train_loss_sum_total', this.#lossSum);
    registry.count('train_correct_total', this.#correct);
    registry.count('shard_reassignments_total', counts.reassigned);
    registry.count('straggler_steps_total', counts.stragglerSteps);
    registry.count('nonfinite_steps_total', counts.nonFiniteSteps);
    registry.count('checkpoint_failures_total', this.#checkpointFailures);
    registry.gauge('record_queue_bytes').set(waitingBytes);
    const rejected: Readonly<Record<RejectionName, number>> = {
      duplicate: counts.duplicates,
      late: counts.fenced,
      differing: counts.differing,
      nonfinite: counts.nonFinite,
      protocol: this.workers.breaches,
      unauthorized,
    };
    for (const reason of rejections)
      registry.count('rejected_messages_total', rejected[reason], { reason });
  }
}
