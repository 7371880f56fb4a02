/**
 * Every metric of a coordinator, once: metric-registry.ts registers them, docs/reference/metrics.md
 * lists them, the dashboards may use no others. Names are without the prefix `mnist_dist_`; every
 * sample also has the label `run_id`.
 */
export const METRIC_PREFIX = 'mnist_dist_';

export interface MetricSpec {
  readonly kind: 'gauge' | 'counter' | 'histogram';
  /** One sentence: what is measured, and its unit where the name does not say it. */
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds, of histograms only. */
  readonly buckets?: readonly number[];
}

/** What a worker is doing, as seen from the coordinator. */
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

/**
 * What a step is made of: two phases of each worker, two of the coordinator (worker="coordinator").
 */
export const phases = ['compute', 'exchange', 'update', 'record'] as const;
export type PhaseName = (typeof phases)[number];

/** Why a message of a worker, or a request of anybody, was turned down. */
export const rejections = [
  'duplicate',
  'late',
  'differing',
  'nonfinite',
  'protocol',
  'unauthorized',
] as const;
export type RejectionName = (typeof rejections)[number];

/** Why a worker was lost. */
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

/** The name of every worker beyond the first 64. */
export const OTHER_WORKERS = 'other';

/** In the place of a worker's name, for what the coordinator does itself. */
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
    'The run: its settings are the labels, its value is 1.',
    'version',
    'engine',
    'device',
    'dataset',
    'hidden',
    'batch_size',
    'virtual_shards',
    'seed',
    'term',
  ),
  training_running: gauge(
    '1 while steps are computed; 0 while workers are waited for, and after the end.',
  ),
  epoch: gauge('Epoch of the last step, counted from 1.'),
  epochs_planned: gauge('Epochs that the run has in all.'),
  train_step: gauge('The last step that is done, counted from 1.'),
  steps_planned: gauge('Steps that the run has in all.'),
  train_loss: gauge('Mean loss of the last step, before its update.'),
  train_accuracy_ratio: gauge('Share of right answers in the last step, before its update.'),
  validation_loss: gauge('Mean loss over the test set at the last evaluation.'),
  validation_accuracy_ratio: gauge(
    'Share of right answers over the test set at the last evaluation.',
  ),
  validation_step: gauge('The step after which the test set was evaluated last.'),
  confusion_matrix_samples: gauge(
    'Test samples by true and predicted class at the last evaluation.',
    'actual',
    'predicted',
  ),
  learning_rate: gauge('Learning rate of Adam.'),
  gradient_norm: gauge(
    'Euclidean norm of the gradient of a recent step (measured a few times a second).',
  ),
  train_steps_total: counter('Steps done since this coordinator was started.'),
  train_loss_sum_total: counter(
    'Sum of the loss over all training samples; its rate by that of the samples is the mean loss.',
  ),
  train_correct_total: counter('Training samples that were answered right.'),
  train_samples_total: counter(
    'Training samples whose gradients counted, by the worker that computed them.',
    'worker',
  ),
  step_duration_seconds: histogram('From the first weights on their way to the update.'),
  step_phase_duration_seconds: histogram(
    'Where the time of a step goes: compute and exchange for each worker, update and record for the coordinator.',
    'phase',
    'worker',
  ),
  network_sent_bytes_total: counter(
    'Bytes sent to a worker; what travels through shared memory is not among them.',
    'worker',
  ),
  network_received_bytes_total: counter(
    'Bytes received from a worker; what travels through shared memory is not among them.',
    'worker',
  ),
  worker_up: gauge(
    '1 while the worker is connected, 0 once it is lost; nothing once it has left in good order, or was gone for ten minutes.',
    'worker',
  ),
  worker_state: gauge('1 for the state the worker is in, 0 for the others.', 'worker', 'state'),
  worker_heartbeat_round_trip_seconds: gauge(
    'From the last heartbeat to its answer; a worker that computes answers late.',
    'worker',
  ),
  worker_send_queue_bytes: gauge('Bytes that wait to be sent to a worker.', 'worker'),
  worker_joins_total: counter('Workers that joined, also again.'),
  worker_losses_total: counter('Workers that were lost.', 'reason'),
  shard_reassignments_total: counter(
    'Parts of steps and evaluations that were given to another worker.',
  ),
  straggler_steps_total: counter('Steps and evaluations in which a worker missed its deadline.'),
  rejected_messages_total: counter('Messages and requests that were turned down.', 'reason'),
  nonfinite_steps_total: counter(
    'Steps in which a result was not finite and was computed once more.',
  ),
  checkpoint_last_success_timestamp_seconds: gauge(
    'When the last checkpoint was on the disk, in Unix time; 0 before the first.',
  ),
  checkpoint_size_bytes: gauge('Size of the last checkpoint.'),
  checkpoint_duration_seconds: gauge('How long the last checkpoint took to write.'),
  checkpoint_failures_total: counter('Checkpoints that could not be written.'),
  record_queue_bytes: gauge('Bytes of metrics.jsonl and events.jsonl that wait for the disk.'),
  gpu_utilization_ratio: gauge(
    'Share of time in which the GPU was busy, as nvidia-smi says.',
    'worker',
    'gpu',
  ),
  gpu_memory_used_bytes: gauge('Memory of the GPU in use.', 'worker', 'gpu'),
  gpu_memory_size_bytes: gauge('Memory of the GPU.', 'worker', 'gpu'),
  gpu_temperature_celsius: gauge('Temperature of the GPU.', 'worker', 'gpu'),
  gpu_power_watts: gauge('Power the GPU draws.', 'worker', 'gpu'),
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof catalogue;

export function isMetricName(text: string): text is MetricName {
  return Object.hasOwn(catalogue, text);
}

export const metricNames: readonly MetricName[] = Object.keys(catalogue).filter(isMetricName);
