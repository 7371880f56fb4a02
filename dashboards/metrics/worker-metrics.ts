import type { LeaveReport } from '../../coordinator/driver.ts';
import type { Inspection } from '../../coordinator/inspection.ts';
import type { LeaveCause, Traffic } from '../../coordinator/network/peer.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import type { WorkerStatus } from '../feed/api.ts';
import { losses, OTHER_WORKERS, workerStates, type LossName } from './catalogue.ts';
import type { WorkerLabels } from './worker-labels.ts';
import type { MetricRegistry } from './metric-registry.ts';

const gpuGauges = [
  { name: 'gpu_utilization_ratio', value: ({ utilization }: GpuReading) => utilization },
  { name: 'gpu_memory_used_bytes', value: ({ memoryUsedBytes }: GpuReading) => memoryUsedBytes },
  { name: 'gpu_memory_size_bytes', value: ({ memorySizeBytes }: GpuReading) => memorySizeBytes },
  {
    name: 'gpu_temperature_celsius',
    value: ({ temperatureCelsius }: GpuReading) => temperatureCelsius,
  },
  { name: 'gpu_power_watts', value: ({ powerWatts }: GpuReading) => powerWatts },
] as const;

/** Metrics whose only label is `worker`. */
const workerSeries = [
  ...(['worker_up', 'worker_heartbeat_round_trip_seconds', 'worker_send_queue_bytes'] as const),
  ...(['train_samples_total', 'network_sent_bytes_total', 'network_received_bytes_total'] as const),
] as const;

const lossNames: Partial<Record<LeaveCause, LossName>> = {
  connection: 'connection',
  unread: 'unread',
  HUNG_UP: 'left',
  INTERRUPTED: 'left',
  TERMINATED: 'left',
  TIMEOUT: 'timeout',
  PROTOCOL: 'protocol',
  FINGERPRINT: 'fingerprint',
  SUPERSEDED: 'superseded',
};

/** Metrics about workers: joins, losses, states, traffic and GPUs. */
export class WorkerMetrics {
  readonly #registry: MetricRegistry;
  readonly #labels: WorkerLabels;
  #joins = 0;
  readonly #losses = new Map<LossName, number>(losses.map((reason) => [reason, 0]));
  #breaches = 0;
  readonly #gpus = new Map<string, readonly string[]>();
  /** Bytes transferred over connections that are now closed, by label. */
  readonly #traffic = new Map<string, { sent: number; received: number }>();
  /** Workers that have shut down on purpose and have not come back. Alerts ignore them. */
  readonly #departed = new Set<string>();

  constructor(registry: MetricRegistry, labels: WorkerLabels) {
    this.#registry = registry;
    this.#labels = labels;
  }

  joined(): void {
    this.#joins += 1;
  }

  left({ worker, cause, traffic }: LeaveReport): void {
    if (cause === 'PROTOCOL') this.#breaches += 1;
    if (worker === undefined) return;
    const label = this.#labels.of(worker);
    this.#addTraffic(label, traffic);
    if (cause === 'finished') return;
    this.devices(label, []);
    const reason = lossNames[cause] ?? 'other';
    this.#losses.set(reason, (this.#losses.get(reason) ?? 0) + 1);
    if (reason === 'left') this.#departed.add(label);
  }

  #addTraffic(label: string, traffic: Traffic): void {
    const before = this.#traffic.get(label) ?? { sent: 0, received: 0 };
    this.#traffic.set(label, {
      sent: before.sent + traffic.sentBytes,
      received: before.received + traffic.receivedBytes,
    });
  }

  /**
   * Replaces a worker's GPU readings. Readings for the label `other` are ignored, because several
   * workers share it.
   */
  devices(worker: string, gpus: readonly GpuReading[]): void {
    if (worker === OTHER_WORKERS) return;
    for (const gpu of this.#gpus.get(worker) ?? [])
      for (const { name } of gpuGauges) this.#registry.gauge(name).remove({ worker, gpu });
    this.#gpus.set(
      worker,
      gpus.map(({ index }) => String(index)),
    );
    for (const reading of gpus) {
      for (const { name, value } of gpuGauges) {
        const now = value(reading);
        if (now !== undefined)
          this.#registry.gauge(name).set({ worker, gpu: String(reading.index) }, now);
      }
    }
  }

  /** Removes all series of a worker. */
  forget(worker: string): void {
    this.devices(worker, []);
    this.#gpus.delete(worker);
    this.#traffic.delete(worker);
    this.#departed.delete(worker);
    for (const name of workerSeries) this.#registry.remove(name, { worker });
    for (const state of workerStates) this.#registry.remove('worker_state', { worker, state });
  }

  get joins(): number {
    return this.#joins;
  }

  get lost(): number {
    return [...this.#losses.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Number of connections that were closed because the worker violated the protocol. */
  get breaches(): number {
    return this.#breaches;
  }

  /** Sets the values for a scrape. */
  set(workers: readonly WorkerStatus[], inspection: Inspection): void {
    this.#registry.count('worker_joins_total', this.#joins);
    for (const [reason, count] of this.#losses)
      this.#registry.count('worker_losses_total', count, { reason });
    this.#setStates(workers);
    this.#setTraffic(inspection);
  }

  #setStates(workers: readonly WorkerStatus[]): void {
    const up = this.#registry.gauge('worker_up');
    const state = this.#registry.gauge('worker_state');
    const roundTrip = this.#registry.gauge('worker_heartbeat_round_trip_seconds');
    for (const worker of workers) {
      if (worker.state !== 'lost') this.#departed.delete(worker.name);
      if (this.#departed.has(worker.name)) up.remove({ worker: worker.name });
      else up.set({ worker: worker.name }, worker.state === 'lost' ? 0 : 1);
      for (const name of workerStates)
        state.set({ worker: worker.name, state: name }, worker.state === name ? 1 : 0);
      this.#registry.count('train_samples_total', worker.samples, { worker: worker.name });
      if (worker.roundTripMilliseconds === undefined) roundTrip.remove({ worker: worker.name });
      else roundTrip.set({ worker: worker.name }, worker.roundTripMilliseconds / 1000);
    }
  }

  #setTraffic({ workers }: Inspection): void {
    const totals = new Map(
      [...this.#traffic].map(([label, sums]) => [label, { ...sums, queued: 0 }]),
    );
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
    const queue = this.#registry.gauge('worker_send_queue_bytes');
    for (const [worker, { sent, received, queued }] of totals) {
      this.#registry.count('network_sent_bytes_total', sent, { worker });
      this.#registry.count('network_received_bytes_total', received, { worker });
      queue.set({ worker }, queued);
    }
  }
}
