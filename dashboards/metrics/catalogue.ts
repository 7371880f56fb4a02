/**
 * All of a coordinator's metrics. metric-registry.ts registers them, docs/reference/metrics.md
 * lists them, and the dashboards use no others. The names here omit the prefix `mnist_dist_`; every
 * sample also has the label `run_id`.
 */
export const METRIC_PREFIX = 'mnist_dist_';

export interface MetricSpec {
  readonly kind: 'gauge' | 'counter' | 'histogram';
  /** States what is measured, and the unit if the name does not contain it. */
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram's buckets. */
  readonly buckets?: readonly number[];
}

/** The states of a worker, as the coordinator sees them. */
export const workerStates = [
  'connected',
  'preparing',
  'idle',
  'training',
  'late',
  'set_aside',
  'lost',
] as const;
export type WorkerStateName = (typeof workerStates)[number];

/** The phases of a step: two in each worker, two in the coordinator (worker="coordinator"). */
export const phases = ['compute', 'exchange', 'update', 'record'] as const;
export type PhaseName = (typeof phases)[number];

/** Reasons for rejecting a worker's message or an HTTP request. */
export const rejections = [
  'duplicate',
  'late',
  'differing',
  'nonfinite',
  'protocol',
  'unauthorized',
] as const;
export type RejectionName = (typeof rejections)[number];

/** Reasons for losing a worker. */
export const losses = [
  'connection',
  'left',
  'timeout',
  'unread',
  'protocol',
  'fingerprint',
  'superseded',
  'other',
] as const;
export type LossName = (typeof losses)[number];

/** The label shared by all workers after the first 64. */
export const OTHER_WORKERS = 'other';

/** The label for the coordinator's own work. */
export const COORDINATOR = 'coordinator';

const SECONDS = [
  0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5,
  10, 60,
] as const;

type Spec<K extends MetricSpec['kind']> = MetricSpec & { readonly kind: K };

const gauge = (help: string, ...labels: string[]): Spec<'gauge'> => ({
  kind: 'gauge',
  help,
  labels,
});
const counter = (help: string, ...labels: string[]): Spec<'counter'> => ({
  kind: 'counter',
  help,
  labels,
});
const histogram = (help: string, ...labels: string[]): Spec<'histogram'> => ({
  kind: 'histogram',
  help,
  labels,
  buckets: SECONDS,
});

export const catalogue = {
  run_info: gauge(
    "The run's settings as labels; the value is always 1.",
    'version',
    'engine',
    'device',
    'dataset',
    'model',
    'batch_size',
    'virtual_shards',
    'seed',
    'term',
  ),
  training_running: gauge(
    '1 while steps are being computed; 0 while the run waits for workers and after it has ended.',
  ),
  epoch: gauge('Epoch of the last step, counted from 1.'),
  epochs_planned: gauge('Total number of epochs in the run.'),
  train_step: gauge('Last completed step, counted from 1.'),
  steps_planned: gauge('Total number of steps in the run.'),
  train_loss: gauge('Mean loss of the last step, before its update.'),
  train_accuracy_ratio: gauge('Accuracy of the last step, before its update.'),
  evaluation_loss: gauge('Mean loss on a set (test or validation) at its last evaluation.', 'set'),
  evaluation_accuracy_ratio: gauge('Accuracy on a set at its last evaluation.', 'set'),
  evaluation_step: gauge('Step of the last evaluation of a set.', 'set'),
  confusion_matrix_samples: gauge(
    'Samples of the set that was evaluated last, by true and predicted class.',
    'actual',
    'predicted',
  ),
  learning_rate: gauge("Learning rate of the last step, before Adam's bias correction."),
  gradient_norm: gauge(
    'Euclidean norm of the gradient of a recent step, measured a few times per second.',
  ),
  train_steps_total: counter('Steps completed since this coordinator started.'),
  train_loss_sum_total: counter(
    'Sum of the loss over all training samples. Its rate divided by the rate of training ' +
      'samples is the mean loss.',
  ),
  train_correct_total: counter('Training samples that were classified correctly.'),
  train_samples_total: counter('Training samples whose gradients were used, by worker.', 'worker'),
  step_duration_seconds: histogram(
    'Duration of a step, from sending the first weights to the update.',
  ),
  step_phase_duration_seconds: histogram(
    'Duration of the phases of a step: compute and exchange in each worker, update and ' +
      'record in the coordinator.',
    'phase',
    'worker',
  ),
  network_sent_bytes_total: counter(
    'Bytes sent to a worker, not counting shared memory.',
    'worker',
  ),
  network_received_bytes_total: counter(
    'Bytes received from a worker, not counting shared memory.',
    'worker',
  ),
  worker_up: gauge(
    '1 while the worker is connected, 0 once it is lost; absent once it has shut down or has ' +
      'been gone for ten minutes.',
    'worker',
  ),
  worker_state: gauge('1 for the state the worker is in, 0 for the others.', 'worker', 'state'),
  worker_heartbeat_round_trip_seconds: gauge(
    'Time between the last heartbeat and its answer. A worker that is computing answers only ' +
      'when it has finished.',
    'worker',
  ),
  worker_send_queue_bytes: gauge('Bytes queued for a worker.', 'worker'),
  worker_joins_total: counter('Workers that joined, including those that rejoined.'),
  worker_losses_total: counter('Workers that were lost.', 'reason'),
  shard_reassignments_total: counter(
    'Parts of steps and evaluations that were reassigned to a different worker.',
  ),
  straggler_steps_total: counter('Steps and evaluations in which a worker missed its deadline.'),
  rejected_messages_total: counter('Rejected messages and requests.', 'reason'),
  nonfinite_steps_total: counter('Steps in which a result was not finite and was computed again.'),
  checkpoint_last_success_timestamp_seconds: gauge(
    'Unix time of the last checkpoint; 0 before the first.',
  ),
  checkpoint_size_bytes: gauge('Size of the last checkpoint.'),
  checkpoint_duration_seconds: gauge('Time taken to write the last checkpoint.'),
  checkpoint_failures_total: counter('Failed attempts to write a checkpoint.'),
  record_queue_bytes: gauge(
    'Bytes of metrics.jsonl and events.jsonl that have not been written yet.',
  ),
  gpu_utilization_ratio: gauge(
    'Share of time during which the GPU was busy, as nvidia-smi reports it.',
    'worker',
    'gpu',
  ),
  gpu_memory_used_bytes: gauge('GPU memory in use.', 'worker', 'gpu'),
  gpu_memory_size_bytes: gauge('Total GPU memory.', 'worker', 'gpu'),
  gpu_temperature_celsius: gauge('Temperature of the GPU.', 'worker', 'gpu'),
  gpu_power_watts: gauge('Power draw of the GPU.', 'worker', 'gpu'),
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof catalogue;

export function isMetricName(text: string): text is MetricName {
  return Object.hasOwn(catalogue, text);
}

export const metricNames: readonly MetricName[] = Object.keys(catalogue).filter(isMetricName);
