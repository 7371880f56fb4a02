import { workerStates, type MetricName, type WorkerStateName } from '../metrics/catalogue.ts';
import type { FieldJson } from './grafana-json.ts';
import { palette } from './palette.ts';
import { rows, stateTimeline, type PanelSource } from './panels.ts';
import { lastBy, meanPhase, of, range, table } from './queries.ts';

const stateColors: Readonly<Record<WorkerStateName, string>> = {
  connected: palette.grey,
  preparing: palette.yellow,
  idle: palette.blue,
  training: palette.green,
  late: palette.orange,
  set_aside: palette.purple,
  lost: palette.vermillion,
};

/** A worker's state as a number: its index in the catalogue. */
function stateNumber(seen: (series: string) => string): string {
  const parts = workerStates.map(
    (state, index) => `${seen(of('worker_state', `state="${state}"`))} * ${index}`,
  );
  return `sum by (worker) (${parts.join(' or ')})`;
}
const newest = (series: string): string => `last_over_time(${series}[$__range])`;

const states: FieldJson = {
  color: { mode: 'fixed', fixedColor: palette.grey },
  mappings: [
    {
      type: 'value',
      options: Object.fromEntries(
        workerStates.map((state, index) => [
          String(index),
          { text: state.replace('_', ' '), color: stateColors[state], index },
        ]),
      ),
    },
  ],
};

const total = (name: MetricName): string => `sum by (worker) (increase(${of(name)}[$__range]))`;
const samples = total('train_samples_total');

const columns = [
  ['State', stateNumber(newest), states],
  ['Samples', samples, { unit: 'locale', decimals: 0 }],
  [
    'Share of samples',
    `${samples} / on () group_left () sum(${samples})`,
    { unit: 'percentunit', decimals: 1, min: 0, max: 1 },
  ],
  ['Compute', meanPhase('worker', 'phase="compute"', '$__range'), { unit: 's' }],
  ['Exchange', meanPhase('worker', 'phase="exchange"', '$__range'), { unit: 's' }],
  ['Round trip', lastBy('worker', 'worker_heartbeat_round_trip_seconds'), { unit: 's' }],
  ['Sent', total('network_sent_bytes_total'), { unit: 'bytes' }],
  ['Received', total('network_received_bytes_total'), { unit: 'bytes' }],
  ['Waiting to be sent', lastBy('worker', 'worker_send_queue_bytes'), { unit: 'bytes' }],
] as const satisfies readonly (readonly [string, string, FieldJson])[];

const letter = (index: number): string => String.fromCodePoint(65 + index);

export const workers: readonly PanelSource[] = [
  rows({
    title: 'Workers',
    width: 24,
    height: 8,
    unit: 'none',
    description:
      'Each worker in the selected time range: state, samples, mean compute and exchange time ' +
      'per step, traffic, and bytes waiting to be sent.',
    queries: columns.map(([, expr]) => table(expr)),
    transformations: [
      { id: 'merge', options: {} },
      {
        id: 'organize',
        options: {
          excludeByName: { Time: true },
          indexByName: {
            worker: 0,
            ...Object.fromEntries(
              columns.map((_, index) => [`Value #${letter(index)}`, index + 1]),
            ),
          },
          renameByName: {
            worker: 'Worker',
            ...Object.fromEntries(
              columns.map(([name], index) => [`Value #${letter(index)}`, name]),
            ),
          },
        },
      },
      { id: 'sortBy', options: { sort: [{ field: 'Worker' }] } },
    ],
    overrides: columns.map(([name, , field]) => ({
      matcher: { id: 'byName', options: name },
      properties: [
        ...Object.entries(field).map(([id, each]) => ({ id, value: each })),
        ...(name === 'State' ? [{ id: 'custom.cellOptions', value: { type: 'color-text' } }] : []),
        ...(name === 'Share of samples'
          ? [
              {
                id: 'custom.cellOptions',
                value: { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' },
              },
              { id: 'color', value: { mode: 'fixed', fixedColor: palette.sky } },
            ]
          : []),
      ],
    })),
  }),
  stateTimeline({
    title: 'States',
    width: 24,
    height: 7,
    unit: 'none',
    description:
      'The state of each worker. A late worker missed a deadline and has not answered yet. A ' +
      'worker that was set aside missed several deadlines and gets no work for a while. A state ' +
      'that begins and ends between two scrapes is not shown.',
    queries: [
      range(
        '{{worker}}',
        stateNumber((series) => series),
      ),
    ],
    field: states,
  }),
];
