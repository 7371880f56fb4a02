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

const total = (name: MetricName): string => `sum(${of(name)})`;
const compute = 'phase="compute"';
const exchange = 'phase="exchange"';

const health: readonly PanelSource[] = [
  stat({
    title: 'Workers',
    width: 4,
    height: 4,
    unit: 'none',
    description: 'Workers that are connected.',
    queries: [range('up', `sum(${of('worker_up')})`)],
  }),
  stat({
    title: 'Steps per second',
    width: 4,
    height: 4,
    unit: 'none',
    field: { decimals: 0 },
    description: 'Steps that were done, whole batches of all workers.',
    queries: [range('steps', rate(of('train_steps_total')))],
  }),
  stat({
    title: 'Workers lost',
    width: 4,
    height: 4,
    unit: 'none',
    graph: 'none',
    field: { decimals: 0 },
    description:
      'Since the coordinator started, for whatever reason, also those that came back. Why: Losses by reason.',
    queries: [range('lost', total('worker_losses_total'))],
  }),
  stat({
    title: 'Straggler steps',
    width: 4,
    height: 4,
    unit: 'percentunit',
    field: { decimals: 2 },
    description:
      'Share of steps in which a worker missed its deadline and others computed what it owed.',
    queries: [
      range('steps', `${rate(of('straggler_steps_total'))} / ${rate(of('train_steps_total'))}`),
    ],
  }),
  stat({
    title: 'Not finite',
    width: 4,
    height: 4,
    unit: 'none',
    graph: 'none',
    field: { ...alarm, decimals: 0 },
    description:
      'Steps since the coordinator started in which a result was not finite and was computed once more. Even one means that the run diverges or that a worker computes badly.',
    queries: [range('steps', total('nonfinite_steps_total'))],
  }),
  stat({
    title: 'Age of the checkpoint',
    width: 4,
    height: 4,
    unit: 's',
    graph: 'none',
    field: { decimals: 0 },
    description:
      'Since the last checkpoint was on the disk: what would be computed again if the coordinator died now.',
    queries: [range('age', `time() - (${value('checkpoint_last_success_timestamp_seconds')} > 0)`)],
  }),
];

const where: readonly PanelSource[] = [
  heatmap({
    title: 'Step duration',
    width: 12,
    height: 9,
    unit: 's',
    description:
      'Steps by how long they took, from the first weights on their way to the update. A second band is a worker that is slow from time to time.',
    queries: [
      {
        kind: 'heatmap',
        legend: '{{le}}',
        expr: increaseBy('le', partOf('step_duration_seconds', '_bucket')),
      },
    ],
  }),
  lines({
    title: 'Where the time of a step goes',
    width: 12,
    height: 9,
    unit: 's',
    field: { min: 0 },
    description:
      'Mean per step. Compute and exchange are means over the workers, which do so at the same time; update and record are the coordinator. Exchange that is most of it: larger batches, or fewer workers.',
    queries: [range('{{phase}}', meanPhase('phase', 'phase=~".+"'))],
    custom: { fillOpacity: 40, stacking: { mode: 'normal' } },
    overrides: [
      fixed('compute', palette.green),
      fixed('exchange', palette.sky),
      fixed('update', palette.orange),
      fixed('record', palette.purple),
    ],
  }),
  lines({
    title: 'Compute by worker',
    width: 12,
    height: 8,
    unit: 's',
    field: { min: 0 },
    description:
      'Mean time of a step in which a worker computes. Who gets more shards computes longer; a line above the others for long is a straggler.',
    queries: [range('{{worker}}', meanPhase('worker', compute))],
    overrides: workerColors,
  }),
  lines({
    title: 'Exchange by worker',
    width: 12,
    height: 8,
    unit: 's',
    field: { min: 0 },
    description:
      'Mean time of a step between weights on their way and a result, without computing: network, queues, copies.',
    queries: [range('{{worker}}', meanPhase('worker', exchange))],
    overrides: workerColors,
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
      'Workers that were lost since the coordinator started, and that joined, also again.',
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
    title: 'Work done by others',
    width: 8,
    height: 8,
    unit: 'suffix: /s',
    field: { min: 0 },
    description:
      'Parts that were given to another worker, since the first was lost or late, and steps in which a worker missed its deadline.',
    queries: [
      range('parts given again', rate(of('shard_reassignments_total'))),
      range('straggler steps', rate(of('straggler_steps_total'))),
    ],
    overrides: [fixed('parts given again', palette.sky), fixed('straggler steps', palette.orange)],
  }),
  lines({
    title: 'Rejected messages',
    width: 8,
    height: 8,
    unit: 'suffix: /s',
    field: { min: 0 },
    description:
      'Messages and requests that were turned down. Late and duplicate go with stragglers. Unauthorized: somebody has another token. Differing: two workers computed different bytes.',
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

const network: readonly PanelSource[] = [
  lines({
    title: 'Sent to workers',
    width: 12,
    height: 8,
    unit: 'Bps',
    field: { min: 0 },
    description:
      'Bytes per second through sockets. Workers on the host of the coordinator use shared memory, which does not count.',
    queries: [range('{{worker}}', rateBy('worker', of('network_sent_bytes_total')))],
    custom: { fillOpacity: 25, stacking: { mode: 'normal' } },
    overrides: workerColors,
  }),
  lines({
    title: 'Received from workers',
    width: 12,
    height: 8,
    unit: 'Bps',
    field: { min: 0 },
    description:
      'Bytes per second through sockets. Workers on the host of the coordinator use shared memory, which does not count.',
    queries: [range('{{worker}}', rateBy('worker', of('network_received_bytes_total')))],
    custom: { fillOpacity: 25, stacking: { mode: 'normal' } },
    overrides: workerColors,
  }),
  lines({
    title: 'Heartbeat round trip',
    width: 12,
    height: 8,
    unit: 's',
    field: { min: 0 },
    description:
      'From the last heartbeat to its answer. A worker that computes answers late, so it is at least as long as a computation.',
    queries: [range('{{worker}}', valueBy('worker', 'worker_heartbeat_round_trip_seconds'))],
    overrides: workerColors,
  }),
  lines({
    title: 'Waiting to be sent',
    width: 12,
    height: 8,
    unit: 'bytes',
    field: { min: 0 },
    description:
      'Bytes that wait for a worker to read them. What grows here is a worker that hangs, or a network that is too slow.',
    queries: [range('{{worker}}', valueBy('worker', 'worker_send_queue_bytes'))],
    overrides: workerColors,
  }),
];

const disk: readonly PanelSource[] = [
  lines({
    title: 'Checkpoint duration',
    width: 6,
    height: 7,
    unit: 's',
    field: { min: 0 },
    description: 'How long the last checkpoint took to write. Training goes on meanwhile.',
    queries: [range('duration', value('checkpoint_duration_seconds'))],
    overrides: [fixed('duration', palette.sky)],
  }),
  lines({
    title: 'Checkpoint size',
    width: 6,
    height: 7,
    unit: 'bytes',
    field: { min: 0 },
    description: "Size of the last checkpoint: weights and Adam's two moments.",
    queries: [range('size', value('checkpoint_size_bytes'))],
    overrides: [fixed('size', palette.sky)],
  }),
  lines({
    title: 'Failed checkpoints',
    width: 6,
    height: 7,
    unit: 'none',
    field: { min: 0, decimals: 0 },
    description:
      'Checkpoints since the coordinator started that could not be written, most often because the disk is full; they are tried again.',
    queries: [range('failed', total('checkpoint_failures_total'))],
    custom: { lineInterpolation: 'stepAfter' },
    overrides: [fixed('failed', palette.vermillion)],
  }),
  lines({
    title: 'Waiting for the disk',
    width: 6,
    height: 7,
    unit: 'bytes',
    field: { min: 0 },
    description:
      'Bytes of metrics.jsonl and events.jsonl that are not written yet. What grows here is a disk that is full or too slow.',
    queries: [range('waiting', value('record_queue_bytes'))],
    overrides: [fixed('waiting', palette.sky)],
  }),
];

export const cluster: Plan = {
  uid: 'mnist-dist-cluster',
  title: 'mnist-dist / Cluster',
  description: 'The machines of a run: who works, who is slow, what failed, where the time goes.',
  rows: [
    { title: 'Health', panels: health },
    { title: 'Workers', panels: workers },
    { title: 'Time of a step', panels: where },
    { title: 'What went wrong', panels: faults },
    { title: 'Network', panels: network },
    { title: 'Disk', panels: disk },
  ],
};
