import type { Histogram } from 'prom-client';
import type { LeaveReport } from '../coordinator/driver.ts';
import type { Inspection } from '../coordinator/inspection.ts';
import type { LeaveCause } from '../coordinator/peer.ts';
import type { CheckpointReport, EvaluationReport, StepReport } from '../coordinator/viewer.ts';
import {
  losses,
  rejections,
  workerStates,
  type LossName,
  type PhaseName,
  type RejectionName,
} from './catalogue.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import type { WorkerStatus } from './api.ts';
import type { WorkerLabels } from './labels.ts';
import { Meters } from './meters.ts';
import type { WorkerPhases } from './phases.ts';

const COORDINATOR = 'coordinator';

const unknownAtFirst = [
  ...(['train_loss', 'train_accuracy_ratio', 'gradient_norm', 'checkpoint_size_bytes'] as const),
  ...([
    'validation_loss',
    'validation_accuracy_ratio',
    'validation_step',
    'checkpoint_duration_seconds',
  ] as const),
] as const;

const gpuGauges = [
  { name: 'gpu_utilization_ratio', value: ({ utilization }: GpuReading) => utilization },
  { name: 'gpu_memory_used_bytes', value: ({ memoryUsedBytes }: GpuReading) => memoryUsedBytes },
  { name: 'gpu_memory_size_bytes', value: ({ memorySizeBytes }: GpuReading) => memorySizeBytes },
  { name: 'gpu_temperature_celsius', value: ({ temperatureCelsius }: GpuReading) => temperatureCelsius },
  { name: 'gpu_power_watts', value: ({ powerWatts }: GpuReading) => powerWatts },
] as const;

/** What is asked for at a scrape, since nobody needs it before. */
export interface Moment {
  readonly inspection: Inspection;
  readonly workers: readonly WorkerStatus[];
  readonly unauthorized: number;
  readonly waitingBytes: number;
}

export interface RunSettings {
  readonly learningRate: number;
  readonly epochs: number;
  readonly totalSteps: number;
  /** Labels of run_info that are known from the start. */
  readonly info: Readonly<Record<string, string>>;
  readonly classNames: readonly string[];
}

/** Feeds the metrics: histograms and sums step by step, all else when somebody looks. */
export class RunMetrics {
  readonly #meters = new Meters();
  readonly #settings: RunSettings;
  readonly #labels: WorkerLabels;
  readonly #stepDuration: Histogram;
  readonly #phaseDuration: Histogram;
  #term = 0;
  #last: StepReport | undefined;
  #steps = 0;
  #lossSum = 0;
  #correct = 0;
  #joins = 0;
  readonly #losses = new Map<LossName, number>(losses.map((reason) => [reason, 0]));
  #breaches = 0;
  #checkpointFailures = 0;
  /** Bytes of connections that are closed, by label. */
  readonly #gpus = new Map<string, readonly string[]>();
  readonly #traffic = new Map<string, { sent: number; received: number }>();

  constructor(settings: RunSettings, labels: WorkerLabels) {
    this.#settings = settings;
    this.#labels = labels;
    this.#stepDuration = this.#meters.histogram('step_duration_seconds');
    this.#phaseDuration = this.#meters.histogram('step_phase_duration_seconds');
    for (const name of unknownAtFirst) this.#meters.hide(name);
    this.#meters.gauge('learning_rate').set(settings.learningRate);
    this.#meters.gauge('epochs_planned').set(settings.epochs);
    this.#meters.gauge('steps_planned').set(settings.totalSteps);
  }

  opened(run: string, term: number): void {
    this.#meters.setRun(run);
    this.#term = term;
  }

  step(report: StepReport): void {
    this.#last = report;
    this.#steps += 1;
    this.#lossSum += report.loss * report.samples;
    this.#correct += report.correct;
    this.#stepDuration.observe(report.milliseconds / 1000);
    this.#phase('update', COORDINATOR, report.updateMilliseconds);
    this.#phase('record', COORDINATOR, report.recordMilliseconds);
  }

  phases({ worker, compute, exchange }: WorkerPhases): void {
    this.#phase('compute', worker, compute);
    this.#phase('exchange', worker, exchange);
  }

  gradientNorm(norm: number): void {
    this.#meters.gauge('gradient_norm').set(norm);
  }

  evaluation({ step, loss, correct, samples, confusion }: EvaluationReport): void {
    const { classNames } = this.#settings;
    this.#meters.gauge('validation_step').set(step);
    this.#meters.gauge('validation_loss').set(loss);
    this.#meters.gauge('validation_accuracy_ratio').set(correct / samples);
    const matrix = this.#meters.gauge('confusion_matrix_samples');
    confusion.forEach((row, actual) =>
      row.forEach((count, predicted) =>
        matrix.set({ actual: classNames[actual] ?? '', predicted: classNames[predicted] ?? '' }, count),
      ),
    );
  }

  checkpoint({ bytes, milliseconds }: CheckpointReport): void {
    this.#meters.gauge('checkpoint_last_success_timestamp_seconds').set(Date.now() / 1000);
    this.#meters.gauge('checkpoint_size_bytes').set(bytes);
    this.#meters.gauge('checkpoint_duration_seconds').set(milliseconds / 1000);
  }

  checkpointFailed(): void {
    this.#checkpointFailures += 1;
  }

  /** Takes the place of what was known of the worker's GPUs. */
  devices(worker: string, gpus: readonly GpuReading[]): void {
    for (const gpu of this.#gpus.get(worker) ?? [])
      for (const { name } of gpuGauges) this.#meters.gauge(name).remove({ worker, gpu });
    this.#gpus.set(
      worker,
      gpus.map(({ index }) => String(index)),
    );
    for (const reading of gpus) {
      for (const { name, value } of gpuGauges) {
        const now = value(reading);
        if (now !== undefined) this.#meters.gauge(name).set({ worker, gpu: String(reading.index) }, now);
      }
    }
  }

  joined(): void {
    this.#joins += 1;
  }

  left({ worker, cause, traffic }: LeaveReport): void {
    if (cause === 'PROTOCOL') this.#breaches += 1;
    if (worker === undefined || cause === 'finished') return;
    this.devices(this.#labels.of(worker), []);
    const reason = lossNames[cause] ?? 'other';
    this.#losses.set(reason, (this.#losses.get(reason) ?? 0) + 1);
    const label = this.#labels.of(worker);
    const before = this.#traffic.get(label) ?? { sent: 0, received: 0 };
    this.#traffic.set(label, {
      sent: before.sent + traffic.sentBytes,
      received: before.received + traffic.receivedBytes,
    });
  }

  get joins(): number {
    return this.#joins;
  }

  get lost(): number {
    return [...this.#losses.values()].reduce((sum, count) => sum + count, 0);
  }

  get contentType(): string {
    return this.#meters.contentType;
  }

  /** The text of a scrape. */
  scrape(moment: Moment): Promise<string> {
    this.#setRun(moment.inspection);
    this.#setWorkers(moment);
    this.#setTraffic(moment.inspection);
    this.#setCounts(moment);
    return this.#meters.text();
  }

  #phase(phase: PhaseName, worker: string, milliseconds: number): void {
    this.#phaseDuration.observe({ phase, worker }, milliseconds / 1000);
  }

  #setRun({ phase, engine }: Inspection): void {
    const meters = this.#meters;
    const info = meters.gauge('run_info');
    info.reset();
    const own = { engine: engine?.kind ?? '', device: engine?.device ?? '', term: String(this.#term) };
    info.set({ ...this.#settings.info, ...own }, 1);
    meters.gauge('training_running').set(phase === 'running' ? 1 : 0);
    const last = this.#last;
    if (last === undefined) return;
    meters.gauge('epoch').set(last.epoch);
    meters.gauge('train_step').set(last.step);
    meters.gauge('train_loss').set(last.loss);
    meters.gauge('train_accuracy_ratio').set(last.correct / last.samples);
  }

  #setWorkers({ workers }: Moment): void {
    const up = this.#meters.gauge('worker_up');
    const state = this.#meters.gauge('worker_state');
    const roundTrip = this.#meters.gauge('worker_heartbeat_round_trip_seconds');
    for (const worker of workers) {
      up.set({ worker: worker.name }, worker.state === 'lost' ? 0 : 1);
      for (const name of workerStates)
        state.set({ worker: worker.name, state: name }, worker.state === name ? 1 : 0);
      this.#meters.count('train_samples_total', worker.samples, { worker: worker.name });
      if (worker.roundTripMilliseconds !== undefined)
        roundTrip.set({ worker: worker.name }, worker.roundTripMilliseconds / 1000);
    }
  }

  #setTraffic({ workers }: Inspection): void {
    const totals = new Map([...this.#traffic].map(([label, sums]) => [label, { ...sums, queued: 0 }]));
    for (const { name, condition, traffic } of workers) {
      if (condition === 'connected') continue;
      const label = this.#labels.of(name);
      const { sent, received, queued } = totals.get(label) ?? { sent: 0, received: 0, queued: 0 };
      totals.set(label, {
        sent: sent + traffic.sentBytes,
        received: received + traffic.receivedBytes,
        queued: queued + traffic.queuedBytes,
      });
    }
    const queue = this.#meters.gauge('worker_send_queue_bytes');
    for (const [worker, { sent, received, queued }] of totals) {
      this.#meters.count('network_sent_bytes_total', sent, { worker });
      this.#meters.count('network_received_bytes_total', received, { worker });
      queue.set({ worker }, queued);
    }
  }

  #setCounts({ inspection: { counts }, unauthorized, waitingBytes }: Moment): void {
    const meters = this.#meters;
    meters.count('train_steps_total', this.#steps);
    meters.count('train_loss_sum_total', this.#lossSum);
    meters.count('train_correct_total', this.#correct);
    meters.count('worker_joins_total', this.#joins);
    for (const [reason, count] of this.#losses) meters.count('worker_losses_total', count, { reason });
    meters.count('shard_reassignments_total', counts.reassigned);
    meters.count('straggler_steps_total', counts.stragglerSteps);
    meters.count('nonfinite_steps_total', counts.nonFiniteSteps);
    meters.count('checkpoint_failures_total', this.#checkpointFailures);
    meters.gauge('record_queue_bytes').set(waitingBytes);
    const rejected: Readonly<Record<RejectionName, number>> = {
      ...{ duplicate: counts.duplicates, late: counts.fenced, differing: counts.differing },
      ...{ nonfinite: counts.nonFinite, protocol: this.#breaches, unauthorized },
    };
    for (const reason of rejections) meters.count('rejected_messages_total', rejected[reason], { reason });
  }
}

const lossNames: Partial<Record<LeaveCause, LossName>> = {
  ...{
    connection: 'connection',
    unread: 'unread',
    INTERRUPTED: 'left',
    TERMINATED: 'left',
    TIMEOUT: 'timeout',
  },
  ...{ PROTOCOL: 'protocol', FINGERPRINT: 'fingerprint', SUPERSEDED: 'superseded' },
};
