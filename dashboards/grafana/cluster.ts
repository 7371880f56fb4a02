import type { MetricName } from '../metrics/catalogue.ts';
import type { Plan } from './layout.ts';
import type { FieldJson } from './grafana-json.ts';
import { fixed, palette, workerColors } from './palette.ts';
import { heatmap, lines, stat, type PanelSource } from './panels.ts';
import {
  increaseBy,
  of,
  meanPhase,
  partOf,
  range,
  rate,
  rateBy,
  value,
  valueBy,
  type Query,
} from './queries.ts';
import { workers } from './worker-panels.ts';

const alarm: FieldJson = {
  color: { mode: 'thresholds' },
  thresholds: {
    mode: 'absolute',
    steps: [
      { color: palette.green, value: null },
      { color: palette.vermillion, value: 1 },
    ],
  },
};

type LinesPanel = Parameters<typeof lines>[0];
/** The properties that differ between panels of the same kind. */
type Differences = Omit<LinesPanel, 'width' | 'height' | 'queries' | 'overrides'>;

/** A panel of half the width, with one line per worker. */
function byWorker(expr: string, panel: Differences): PanelSource {
  return lines({
    width: 12,
    height: 8,
    field: { min: 0 },
    queries: [range('{{worker}}', expr)],
    overrides: workerColors,
    ...panel,
  });
}

/** A panel of a quarter of the width, with one line in `color`. */
function quarter(query: Query, color: string, panel: Differences): PanelSource {
  return lines({
    width: 6,
    height: 7,
    field: { min: 0 },
    queries: [query],
    overrides: [fixed(query.legend, color)],
    ...panel,
  });
}

const total = (name: MetricName): string => `sum(${of(name)})`;

const health: readonly PanelSource[] = [
  stat({
    title: 'Workers',
    unit: 'none',
    description: 'Number of connected workers.',
    queries: [range('up', `sum(${of('worker_up')})`)],
  }),
  stat({
    title: 'Steps per second',
    unit: 'none',
    field: { decimals: 0 },
    description: 'Completed steps per second. Each step is one batch, divided among all workers.',
    queries: [range('steps', rate(of('train_steps_total')))],
  }),
  stat({
    title: 'Workers lost',
    unit: 'none',
    graph: 'none',
    field: { decimals: 0 },
    description:
      'Workers lost since the coordinator started, including those that came back. The panel ' +
      '"Losses by reason" shows why.',
    queries: [range('lost', total('worker_losses_total'))],
  }),
  stat({
    title: 'Straggler steps',
    unit: 'percentunit',
    field: { decimals: 2 },
    description:
      'Share of steps in which a worker missed its deadline and other workers computed its shards.',
    queries: [
      range('steps', `${rate(of('straggler_steps_total'))} / ${rate(of('train_steps_total'))}`),
    ],
  }),
  stat({
    title: 'Non-finite steps',
    unit: 'none',
    graph: 'none',
    field: { ...alarm, decimals: 0 },
    description:
      'Steps since the coordinator started in which a result was not finite and was ' +
      'computed again. Even one such step means that the run is diverging or that a worker ' +
      'computes wrong results.',
    queries: [range('steps', total('nonfinite_steps_total'))],
  }),
  stat({
    title: 'Checkpoint age',
    unit: 's',
    graph: 'none',
    field: { decimals: 0 },
    description:
      'Time since the last checkpoint was written. After a crash, the steps completed since then ' +
      'are computed again.',
    queries: [range('age', `time() - (${value('checkpoint_last_success_timestamp_seconds')} > 0)`)],
  }),
];

const stepTime: readonly PanelSource[] = [
  heatmap({
    title: 'Step duration',
    width: 12,
    height: 9,
    unit: 's',
    description:
      'Steps by duration, from sending the first weights to the update. A second band ' +
      'suggests that a worker is sometimes slow.',
    queries: [
      {
        kind: 'heatmap',
        legend: '{{le}}',
        expr: increaseBy('le', partOf('step_duration_seconds', '_bucket')),
      },
    ],
  }),
  lines({
    title: 'Step time by phase',
    width: 12,
    height: 9,
    unit: 's',
    field: { min: 0 },
    description:
      'Mean time per step. Compute and exchange are averaged over the workers, which run in ' +
      'parallel; update and record run in the coordinator. If exchange dominates, use larger ' +
      'batches or fewer workers.',
    queries: [range('{{phase}}', meanPhase('phase', 'phase=~".+"'))],
    custom: { fillOpacity: 40, stacking: { mode: 'normal' } },
    overrides: [
      fixed('compute', palette.green),
      fixed('exchange', palette.sky),
      fixed('update', palette.orange),
      fixed('record', palette.purple),
    ],
  }),
  byWorker(meanPhase('worker', 'phase="compute"'), {
    title: 'Compute by worker',
    unit: 's',
    description:
      'Mean compute time of each worker per step. A worker with more shards takes longer; a ' +
      'line that stays above the others is a straggler.',
  }),
  byWorker(meanPhase('worker', 'phase="exchange"'), {
    title: 'Exchange by worker',
    unit: 's',
    description:
      'Mean time per step between sending the weights and receiving the last result, excluding ' +
      'computation: network, queues and copies.',
  }),
];

const faults: readonly PanelSource[] = [
  lines({
    title: 'Losses by reason',
    width: 8,
    height: 8,
    unit: 'none',
    field: { min: 0, decimals: 0 },
    description:
      'Workers lost and joined since the coordinator started, including workers that rejoined.',
    queries: [
      range('lost: {{reason}}', `sum by (reason) (${of('worker_losses_total')})`),
      range('joined', total('worker_joins_total')),
    ],
    custom: { lineInterpolation: 'stepAfter' },
    overrides: [
      fixed('joined', palette.green),
      fixed('lost: connection', palette.vermillion),
      fixed('lost: left', palette.grey),
      fixed('lost: timeout', palette.orange),
      fixed('lost: unread', palette.yellow),
      fixed('lost: protocol', palette.purple),
      fixed('lost: fingerprint', palette.blue),
      fixed('lost: superseded', palette.sky),
      fixed('lost: other', '#999933'),
    ],
  }),
  lines({
    title: 'Reassigned work',
    width: 8,
    height: 8,
    unit: 'suffix: /s',
    field: { min: 0 },
    description:
      'Parts reassigned per second because their worker was lost or late, and steps ' +
      'per second in which a worker missed its deadline.',
    queries: [
      range('reassigned parts', rate(of('shard_reassignments_total'))),
      range('straggler steps', rate(of('straggler_steps_total'))),
    ],
    overrides: [fixed('reassigned parts', palette.sky), fixed('straggler steps', palette.orange)],
  }),
  lines({
    title: 'Rejected messages',
    width: 8,
    height: 8,
    unit: 'suffix: /s',
    field: { min: 0 },
    description:
      'Rejected messages and requests. Stragglers cause late and duplicate messages. ' +
      '"unauthorized" means that a client has the wrong token; "differing" means that two ' +
      'workers computed different bytes for the same part.',
    queries: [range('{{reason}}', rateBy('reason', of('rejected_messages_total')))],
    overrides: [
      fixed('duplicate', palette.grey),
      fixed('late', palette.sky),
      fixed('differing', palette.vermillion),
      fixed('nonfinite', palette.purple),
      fixed('protocol', palette.yellow),
      fixed('unauthorized', palette.orange),
    ],
  }),
];

/** A panel that shows a byte counter's rate for each worker. */
function socketPanel(title: string, metric: MetricName): PanelSource {
  return byWorker(rateBy('worker', of(metric)), {
    title,
    unit: 'Bps',
    description:
      "Bytes per second through sockets. Workers on the coordinator's host use shared memory, " +
      'which is not counted.',
    custom: { fillOpacity: 25, stacking: { mode: 'normal' } },
  });
}

const network: readonly PanelSource[] = [
  socketPanel('Sent to workers', 'network_sent_bytes_total'),
  socketPanel('Received from workers', 'network_received_bytes_total'),
  byWorker(valueBy('worker', 'worker_heartbeat_round_trip_seconds'), {
    title: 'Heartbeat round trip',
    unit: 's',
    description:
      'Time between the last heartbeat and its answer. A worker that is computing answers only ' +
      'when it has finished, so the time includes the rest of its computation.',
  }),
  byWorker(valueBy('worker', 'worker_send_queue_bytes'), {
    title: 'Waiting to be sent',
    unit: 'bytes',
    description:
      'Bytes queued for each worker. A rising line means that the worker is hung or the ' +
      'network is too slow.',
  }),
];

const disk: readonly PanelSource[] = [
  quarter(range('duration', value('checkpoint_duration_seconds')), palette.sky, {
    title: 'Checkpoint duration',
    unit: 's',
    description: 'Time taken to write the last checkpoint. Training continues in the meantime.',
  }),
  quarter(range('size', value('checkpoint_size_bytes')), palette.sky, {
    title: 'Checkpoint size',
    unit: 'bytes',
    description: "Size of the last checkpoint: the weights and the optimizer's state.",
  }),
  quarter(range('failed', total('checkpoint_failures_total')), palette.vermillion, {
    title: 'Failed checkpoints',
    unit: 'none',
    field: { min: 0, decimals: 0 },
    description:
      'Checkpoints that could not be written since the coordinator started, usually because ' +
      'the disk is full; they are retried.',
    custom: { lineInterpolation: 'stepAfter' },
  }),
  quarter(range('waiting', value('record_queue_bytes')), palette.sky, {
    title: 'Waiting for the disk',
    unit: 'bytes',
    description:
      'Bytes of metrics.jsonl and events.jsonl that have not been written yet. A rising line ' +
      'means that the disk is full or too slow.',
  }),
];

export const cluster: Plan = {
  uid: 'mnist-dist-cluster',
  title: 'mnist-dist / Cluster',
  description: "A run's workers: their states, speed and failures, and the step times.",
  rows: [
    { title: 'Health', panels: health },
    { title: 'Workers', panels: workers },
    { title: 'Step time', panels: stepTime },
    { title: 'Failures', panels: faults },
    { title: 'Network', panels: network },
    { title: 'Disk', panels: disk },
  ],
};
