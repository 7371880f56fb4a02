import grafana from 'grafana-dash-gen';
import { DATA_SOURCE, type DashboardJson } from './grafana-json.ts';
import { toCurrentSchema } from './current-schema.ts';
import type { PanelSource } from './panels.ts';
import { palette } from './palette.ts';
import { of, value } from './queries.ts';

/** The content of a dashboard. */
export interface Plan {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly PanelSource[] }[];
  /** Variables besides the data source and the run. */
  readonly variables?: readonly Variable[];
}

type Variable = ConstructorParameters<typeof grafana.Templates.Custom>[0];

/** The one method of Row that this file uses. Its declared types accept only older panel kinds. */
interface RowOfAny {
  addPanel(panel: { generate(): object }): void;
}

const TAG = 'mnist-dist';
const RUNS = { query: 'label_values(mnist_dist_run_info, run_id)', refId: 'runs' } as const;

/**
 * The data source comes first, because the list of runs is read from it. Runs are listed newest
 * first.
 */
const variables: readonly Variable[] = [
  { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1 },
  {
    name: 'run',
    label: 'Run',
    type: 'query',
    datasource: DATA_SOURCE,
    query: RUNS.query,
    definition: RUNS.query,
    refresh: 2,
    sort: 2,
  },
];

interface Mark {
  readonly name: string;
  readonly color: string;
  readonly text: string;
  readonly expr: string;
}

const lost = of('worker_state', 'state="lost"');

/**
 * Events that every panel shows as vertical lines, at each time at which the query has a value
 * above 0. Comparing a series with its previous value finds a change at any sampling interval.
 */
const marks: readonly Mark[] = [
  {
    name: 'Epochs',
    color: palette.grey,
    text: 'Epoch {{epoch}} started',
    expr: `count_values("epoch", ${of('epoch')} > ${of('epoch')} offset $__interval)`,
  },
  {
    name: 'Lost workers',
    color: palette.vermillion,
    text: '{{worker}} was lost',
    // At the end of a run, its workers disconnect but are not lost.
    expr:
      `(${lost} == 1) unless on (worker) (${lost} offset $__interval == 1) and on () ` +
      `${value('train_step')} < ${value('steps_planned')}`,
  },
  {
    name: 'Coordinator starts',
    color: palette.purple,
    text: 'Coordinator started, term {{term}}',
    expr: `${of('run_info')} unless on (term) (${of('run_info')} offset $__interval)`,
  },
];

/** Generates a dashboard with grafana-dash-gen and converts it to Grafana's current schema. */
export function draw({ uid, title, description, rows, variables: own = [] }: Plan): DashboardJson {
  const dashboard = new grafana.Dashboard({
    title,
    tags: [TAG],
    timezone: 'browser',
    time: { from: 'now-15m', to: 'now' },
    refresh: '5s',
    editable: true,
  });
  for (const variable of [...variables, ...own])
    dashboard.addTemplate(new grafana.Templates.Custom(variable));
  for (const { name, color, text, expr } of marks) {
    dashboard.addAnnotation(
      new grafana.Annotations.Graphite({
        // The generator requires Graphite's target; toCurrentSchema() removes it.
        name,
        iconColor: color,
        enable: true,
        datasource: DATA_SOURCE,
        target: expr,
        expr,
        step: '1s',
        textFormat: text,
      }),
    );
  }
  for (const { title: rowTitle, panels } of rows) {
    const row = new grafana.Row({ title: rowTitle });
    const untyped: RowOfAny = row;
    for (const panel of panels) untyped.addPanel(panel);
    dashboard.addRow(row);
  }
  return toCurrentSchema(dashboard.generate(), { uid, description, tag: TAG });
}
