import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { dashboardFiles } from '../../../../dashboards/grafana/dashboard-files.ts';
import { metricsIn } from './metric-names.ts';
import { missing, promtool, rulesFolder } from '../../../fixtures/promtool.ts';

const rule = z.strictObject({
  alert: z.string().optional(),
  record: z.string().optional(),
  expr: z.string(),
  for: z.string().optional(),
  labels: z.strictObject({ severity: z.enum(['page', 'ticket']) }).optional(),
  annotations: z
    .strictObject({ summary: z.string(), description: z.string(), runbook: z.string() })
    .optional(),
});
const groups = z.strictObject({
  groups: z.array(z.strictObject({ name: z.string(), rules: z.array(rule) })),
});

const files = readdirSync(rulesFolder).map((name) => join(rulesFolder, name));
const rules = files.flatMap((file) =>
  groups.parse(parse(readFileSync(file, 'utf8'))).groups.flatMap((group) => group.rules),
);
const alerts = rules.filter(({ alert }) => alert !== undefined);
const alertNames = [
  'TrainingStalled',
  'LossNotFinite',
  'WorkerLost',
  'WorkerStraggling',
  'NoWorkers',
  'CheckpointStale',
  'AccuracyDropped',
  'CoordinatorDown',
];

describe('rules', () => {
  it('include exactly the alerts in alertNames', () => {
    expect(alerts.map(({ alert }) => alert)).toEqual(alertNames);
  });

  it.each(alerts)(
    '$alert states its severity and its meaning, where to look and what to do',
    (each) => {
      expect(each.labels?.severity).toBeDefined();
      const { summary = '', description = '', runbook = '' } = each.annotations ?? {};
      expect(summary).toMatch(/\.$/);
      expect(description).toMatch(/\.$/);
      const [means = '', look = '', act = '', ...rest] = runbook.trimEnd().split('\n');
      expect(means).toMatch(/^What it means: .+\.$/);
      expect(look).toMatch(/^What to look at: .+\.$/);
      expect(act).toMatch(/^What to do: .+\.$/);
      expect(rest).toEqual([]);
    },
  );

  it('refer only to dashboards and panels that exist', () => {
    const panelsOf = new Map(
      dashboardFiles().map(({ title, text }) => [
        title,
        [...text.matchAll(/"title": "(.*)"/g)].map(([, name = '']) => name),
      ]),
    );
    for (const { alert, annotations } of alerts) {
      const look = annotations?.runbook.split('\n')[1] ?? '';
      const named = [...look.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name);
      expect(named.length, alert).toBeGreaterThan(1);
      let panels: readonly string[] = [];
      for (const name of named) {
        if (panelsOf.has(name)) panels = panelsOf.get(name) ?? [];
        else expect(panels, `${alert}: ${name}`).toContain(name);
      }
    }
  });

  it('use only metrics in the catalogue, and series that other rules record', () => {
    const recorded = new Set(rules.map(({ record }) => record));
    for (const { expr } of rules) {
      for (const [series] of expr.matchAll(/\w+:[\w:]+/g)) expect(recorded).toContain(series);
      expect(metricsIn(expr).unknown).toEqual([]);
    }
  });
});

/** Interval between samples, as in the configuration file that ships with Prometheus. */
const STEP_SECONDS = 15;
const at = 'job="mnist-dist", instance="host:9464"';
const run = `${at}, run_id="r"`;
type Series = Readonly<Record<string, string>>;

/**
 * Half an hour of a healthy run: 100 steps a second, two workers, a checkpoint every 15 s,
 * 900,000 steps in all.
 */
const well: Series = {
  [`up{${at}}`]: '1x120',
  [`mnist_dist_training_running{${run}}`]: '1x120',
  [`mnist_dist_train_step{${run}}`]: '0+1500x120',
  [`mnist_dist_steps_planned{${run}}`]: '900000x120',
  [`mnist_dist_train_steps_total{${run}}`]: '0+1500x120',
  [`mnist_dist_train_loss{${run}}`]: '2-0.01x120',
  [`mnist_dist_nonfinite_steps_total{${run}}`]: '0x120',
  [`mnist_dist_worker_up{${run}, worker="w0"}`]: '1x120',
  [`mnist_dist_worker_up{${run}, worker="w1"}`]: '1x120',
  [`mnist_dist_worker_state{${run}, worker="w1", state="late"}`]: '0x120',
  [`mnist_dist_worker_state{${run}, worker="w1", state="set_aside"}`]: '0x120',
  [`mnist_dist_worker_losses_total{${run}, reason="connection"}`]: '0x120',
  [`mnist_dist_worker_losses_total{${run}, reason="left"}`]: '0x120',
  [`mnist_dist_checkpoint_last_success_timestamp_seconds{${run}}`]: '0+15x120',
  [`mnist_dist_evaluation_accuracy_ratio{${run}, set="test"}`]: '0.9+0.0005x120',
  [`mnist_dist_evaluation_step{${run}, set="test"}`]: '1500x120',
};
const keys = Object.keys(well);
const named = (name: string): string =>
  keys.find((key) => key.startsWith(`mnist_dist_${name}{`)) ?? '';

/** A run that is healthy for `minutes`, then has its `last` values, and then disappears. */
function endsAfter(minutes: number, last: Series = {}): Series {
  const count = (60 / STEP_SECONDS) * minutes;
  const ending = keys.map((key) => {
    const values = (well[key] ?? '').replace('x120', `x${count - 1}`);
    return [key, key.startsWith('up') ? `1x${count} 0x119` : `${values} ${last[key] ?? ''} stale`];
  });
  return Object.fromEntries(ending);
}

interface Case {
  readonly what: string;
  readonly series: Series;
  /** All alerts that fire at some time during the half hour. */
  readonly fires: readonly string[];
}

const cases: readonly Case[] = [
  { what: 'a healthy run', series: well, fires: [] },
  {
    what: 'a run that has ended and reported it',
    series: endsAfter(10, { [named('training_running')]: '0', [named('train_step')]: '900000' }),
    fires: [],
  },
  {
    what: 'a run that has ended and could not report it',
    series: { ...endsAfter(10), [named('steps_planned')]: '64000x39 stale' },
    fires: [],
  },
  {
    what: 'a run that was interrupted: workers leave, the last values stay for a minute',
    series: {
      ...endsAfter(10, { [named('training_running')]: '0x4' }),
      [named('worker_up')]: '1x39 0x4 stale',
      [`mnist_dist_worker_up{${run}, worker="w1"}`]: '1x39 0x4 stale',
      [`mnist_dist_worker_losses_total{${run}, reason="left"}`]: '0x39 2x4 stale',
    },
    fires: [],
  },
  {
    what: 'no step for a long time',
    series: { ...well, [named('train_steps_total')]: '0+1500x40 60000x80' },
    fires: ['TrainingStalled'],
  },
  {
    what: 'no step for three minutes',
    series: { ...well, [named('train_steps_total')]: '0+1500x40 60000x12 60000+1500x68' },
    fires: [],
  },
  {
    what: 'no step while the run waits for workers',
    series: {
      ...well,
      [named('train_steps_total')]: '0+1500x40 60000x80',
      [named('training_running')]: '1x40 0x80',
    },
    fires: [],
  },
  {
    what: 'a loss that is not a number',
    series: { ...well, [named('train_loss')]: `2x40 ${'NaN '.repeat(80)}` },
    fires: ['LossNotFinite'],
  },
  {
    what: 'an infinite loss',
    series: { ...well, [named('train_loss')]: `2x40 ${'Inf '.repeat(80)}` },
    fires: ['LossNotFinite'],
  },
  {
    what: 'a run that diverges: its last values include a step that was not finite',
    series: endsAfter(10, {
      [named('training_running')]: '0',
      [named('nonfinite_steps_total')]: '2',
    }),
    fires: ['LossNotFinite'],
  },
  {
    what: 'a worker that dies and stays away',
    series: {
      ...well,
      [named('worker_up')]: '1x40 0x80',
      [named('worker_losses_total')]: '0x40 1x80',
    },
    fires: ['WorkerLost'],
  },
  {
    what: 'a worker that dies and rejoins after half a minute',
    series: {
      ...well,
      [named('worker_up')]: '1x40 0x1 1x80',
      [named('worker_losses_total')]: '0x40 1x80',
    },
    fires: [],
  },
  {
    what: 'a worker that is told to leave',
    series: {
      ...well,
      [named('worker_up')]: '1x40 stale',
      [`mnist_dist_worker_losses_total{${run}, reason="left"}`]: '0x40 1x80',
    },
    fires: [],
  },
  {
    what: 'a worker that is set aside repeatedly',
    series: {
      ...well,
      [named('worker_state')]: '0x20 1 0x3 1 0x3 1 0x3 1 0x80',
      [`mnist_dist_worker_state{${run}, worker="w1", state="set_aside"}`]:
        '0x20 0 1 0 0 0 1 0 0 0 1 0 0 0 1 0 0x80',
    },
    fires: ['WorkerStraggling'],
  },
  {
    what: 'a worker that is late twice',
    series: { ...well, [named('worker_state')]: '0x20 1 0x10 1 0x90' },
    fires: [],
  },
  {
    what: 'no worker left',
    series: {
      ...well,
      [named('training_running')]: '1x40 0x80',
      [named('worker_up')]: '1x40 0x80',
      [`mnist_dist_worker_up{${run}, worker="w1"}`]: '1x40 0x80',
    },
    fires: ['NoWorkers'],
  },
  {
    what: 'no worker ever',
    series: {
      [`up{${at}}`]: '1x120',
      [named('training_running')]: '0x120',
      [named('steps_planned')]: '900000x120',
    },
    fires: ['NoWorkers'],
  },
  {
    what: 'no more checkpoints',
    series: { ...well, [named('checkpoint_last_success_timestamp_seconds')]: '0+15x40 600x80' },
    fires: ['CheckpointStale'],
  },
  {
    what: 'no checkpoint at all',
    series: { ...well, [named('checkpoint_last_success_timestamp_seconds')]: '0x120' },
    fires: ['CheckpointStale'],
  },
  {
    what: 'a checkpoint every five minutes',
    series: {
      ...well,
      [named('checkpoint_last_success_timestamp_seconds')]:
        '0x19 300x19 600x19 900x19 1200x19 1500x19 1800x0',
    },
    fires: [],
  },
  {
    what: 'an accuracy that falls',
    series: { ...well, [named('evaluation_accuracy_ratio')]: '0.97x40 0.9x80' },
    fires: ['AccuracyDropped'],
  },
  {
    what: 'an accuracy that wavers',
    series: { ...well, [named('evaluation_accuracy_ratio')]: '0.97x40 0.96x80' },
    fires: [],
  },
  {
    what: 'a coordinator that has restarted and has not evaluated yet',
    series: {
      ...well,
      [named('evaluation_accuracy_ratio')]: '0.97x40 0x10 0.97x70',
      [named('evaluation_step')]: '1500x40 0x10 1500x70',
    },
    fires: [],
  },
  { what: 'a coordinator that dies', series: endsAfter(10), fires: ['CoordinatorDown'] },
  {
    what: 'a coordinator that restarts after half a minute',
    series: { ...well, [`up{${at}}`]: '1x40 0x1 1x80' },
    fires: [],
  },
  {
    what: 'a coordinator that dies and whose run resumes elsewhere',
    series: {
      ...endsAfter(10),
      'mnist_dist_train_step{job="mnist-dist", instance="other:9464", run_id="r"}':
        '_x41 60000+1500x80',
    },
    fires: [],
  },
  {
    what: 'an address at which no run has ever listened',
    series: { [`up{${at}}`]: '0x120' },
    fires: [],
  },
];

describe.skipIf(missing !== undefined)(
  `promtool${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    it.each(files)('accepts %s', (file) => {
      const { status, output } = promtool(['check', 'rules'], {
        name: 'rules.yml',
        text: readFileSync(file, 'utf8'),
      });
      expect(status, output).toBe(0);
    });

    it('has a case that fires each alert, and a case that does not', () => {
      const tried = new Set(cases.flatMap(({ fires }) => fires));
      expect([...tried].toSorted()).toEqual(alertNames.toSorted());
      expect(cases.filter(({ fires }) => fires.length === 0).length).toBeGreaterThan(
        alertNames.length,
      );
    });

    it.each(cases)('$what: $fires', ({ series, fires }) => {
      // A series that is not overridden by its exact key would be added as a second series.
      for (const key of Object.keys(series)) expect(key).not.toBe('');
      const text = stringify({
        rule_files: files,
        evaluation_interval: `${STEP_SECONDS}s`,
        tests: [
          {
            interval: `${STEP_SECONDS}s`,
            input_series: Object.entries(series).map(([name, values]) => ({
              series: name,
              values,
            })),
            promql_expr_test: [
              {
                expr: 'count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[30m]))',
                eval_time: '30m',
                exp_samples: fires.map((alertname) => ({
                  labels: `{alertname="${alertname}"}`,
                  value: 1,
                })),
              },
            ],
          },
        ],
      });
      const { status, output } = promtool(['test', 'rules'], { name: 'cases.yml', text });
      expect(status, output).toBe(0);
    });
  },
);
