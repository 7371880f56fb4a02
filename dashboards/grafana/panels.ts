import type { Options as HeatmapOptions } from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as TimelineField,
  Options as TimelineOptions,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type {
  FieldConfig as TableField,
  Options as TableOptions,
} from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type { Options as TextOptions } from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen';
import type {
  FieldConfig as SeriesField,
  Options as SeriesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type {
  FieldConfig as CurveField,
  Options as CurveOptions,
} from '@grafana/schema/dist/esm/raw/composable/xychart/panelcfg/x/XYChartPanelCfg_types.gen';
import {
  DATA_SOURCE,
  type FieldJson,
  type Json,
  type OverrideJson,
  type PanelJson,
} from './grafana-json.ts';
import { palette } from './palette.ts';
import { target, type Query } from './queries.ts';

/**
 * The version of the panels' options; without one, Grafana takes those of an xychart for older ones
 * and rewrites them.
 */
const PLUGIN_VERSION = '12.0.0';

/** A panel of ours for the generator's Row, which wants an object that generates itself. */
export interface Drawn {
  /** Its gridPos says how large it is; where it stands is settled by what is before it. */
  generate(): PanelJson;
}

interface Words {
  readonly title: string;
  /** What is seen, and what to make of it. */
  readonly description: string;
  /** In columns and rows of the grid. */
  readonly width: number;
  readonly height: number;
}

interface Asked extends Words {
  /** Grafana's unit, such as s, bytes, percentunit. */
  readonly unit: string;
  readonly queries: readonly Query[];
  readonly overrides?: readonly OverrideJson[];
  readonly transformations?: PanelJson['transformations'];
  readonly field?: FieldJson;
}

function draw(
  type: string,
  { title, description, width, height }: Words,
  rest: Omit<PanelJson, 'type' | 'title'>,
): Drawn {
  const gridPos = { x: 0, y: 0, w: width, h: height };
  return {
    generate: () => ({ type, title, description, pluginVersion: PLUGIN_VERSION, gridPos, ...rest }),
  };
}

function drawQueries(
  type: string,
  asked: Asked,
  options: Record<string, unknown>,
  custom: Record<string, unknown>,
): Drawn {
  const { unit, queries, overrides = [], transformations = [], field = {} } = asked;
  return draw(type, asked, {
    datasource: DATA_SOURCE,
    fieldConfig: { defaults: { unit, ...field, custom }, overrides: [...overrides] },
    options,
    targets: queries.map(target),
    transformations,
  });
}

const multiTooltip = { mode: 'multi', sort: 'desc' } as const;
const listLegend = {
  displayMode: 'list',
  placement: 'bottom',
  showLegend: true,
  calcs: [],
} as const;

/** Lines over time. */
export function lines(
  asked: Asked & { readonly custom?: Json<SeriesField>; readonly calcs?: string[] },
): Drawn {
  const { calcs = [], custom = {} } = asked;
  const options: Json<SeriesOptions> = {
    legend: calcs.length === 0 ? listLegend : { ...listLegend, displayMode: 'table', calcs },
    tooltip: multiTooltip,
  };
  const field: Json<SeriesField> = {
    drawStyle: 'line',
    lineWidth: 1,
    fillOpacity: 0,
    showPoints: 'never',
    spanNulls: false,
    ...custom,
  };
  const defaults: FieldJson = { color: { mode: 'palette-classic-by-name' }, ...asked.field };
  return drawQueries('timeseries', { ...asked, field: defaults }, options, field);
}

/** One number, the newest in the time that is shown, and how it came about as a line behind it. */
export function stat(asked: Asked & { readonly graph?: 'none' | 'area' }): Drawn {
  const options: Json<StatOptions> = {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode:
      asked.field?.thresholds === undefined && asked.field?.mappings === undefined
        ? 'none'
        : 'value',
    graphMode: asked.graph ?? 'area',
    justifyMode: 'auto',
    orientation: 'auto',
    textMode: 'value',
    wideLayout: true,
    showPercentChange: false,
    percentChangeColorMode: 'standard',
  };
  const quiet: FieldJson = { color: { mode: 'thresholds' }, noValue: 'none yet', ...asked.field };
  return drawQueries('stat', { ...asked, field: quiet }, options, {});
}

/** Rows and columns of the newest values. */
export function rows(asked: Asked & { readonly custom?: Json<TableField> }): Drawn {
  const options: Json<TableOptions> = { frameIndex: 0, showHeader: true, cellHeight: 'sm' };
  const field: Json<TableField> = {
    align: 'auto',
    cellOptions: { type: 'auto' },
    inspect: false,
    ...asked.custom,
  };
  return drawQueries('table', asked, options, field);
}

/** Counts per bucket of a histogram over time. */
export function heatmap(asked: Asked): Drawn {
  const options: Json<HeatmapOptions> = {
    calculate: false,
    cellGap: 1,
    color: {
      mode: 'scheme',
      scheme: 'Viridis',
      fill: palette.grey,
      exponent: 0.5,
      steps: 64,
      reverse: false,
    },
    exemplars: { color: palette.grey },
    filterValues: { le: 1e-9 },
    legend: { show: true },
    rowsFrame: { layout: 'auto' },
    showValue: 'never',
    tooltip: { mode: 'single', showColorScale: false, yHistogram: false },
    yAxis: { axisPlacement: 'left', reverse: false, unit: asked.unit },
  };
  return drawQueries('heatmap', asked, options, {
    hideFrom: { legend: false, tooltip: false, viz: false },
  });
}

/** A bar per series that changes its colour with its value. */
export function stateTimeline(asked: Asked): Drawn {
  const options: Json<TimelineOptions> = {
    legend: listLegend,
    mergeValues: true,
    rowHeight: 0.8,
    showValue: 'never',
    tooltip: { mode: 'single', sort: 'none' },
  };
  const field: Json<TimelineField> = { fillOpacity: 85, lineWidth: 0 };
  return drawQueries('state-timeline', asked, options, { ...field });
}

/**
 * One query against another: lines over something that is not time. The queries are joined by their
 * time.
 */
export function curves(
  asked: Asked & {
    readonly pairs: readonly (readonly [x: string, y: string])[];
    readonly xLabel: string;
  },
): Drawn {
  const byName = (options: string) => ({ matcher: { id: 'byName', options } });
  const options: Json<CurveOptions> = {
    mapping: 'manual',
    series: asked.pairs.map(([x, y]) => ({ name: { fixed: y }, x: byName(x), y: byName(y) })),
    legend: listLegend,
    tooltip: { mode: 'single', sort: 'none' },
  };
  const field: Json<CurveField> = {
    show: 'lines',
    lineWidth: 1,
    pointSize: { fixed: 3 },
    fillOpacity: 50,
  };
  const xs = [...new Set(asked.pairs.map(([x]) => x))];
  const axis = xs.map((x) => ({
    matcher: { id: 'byName', options: x },
    properties: [
      { id: 'unit', value: 'locale' },
      { id: 'custom.axisLabel', value: asked.xLabel },
    ],
  }));
  return drawQueries(
    'xychart',
    {
      ...asked,
      overrides: [...(asked.overrides ?? []), ...axis],
      transformations: [{ id: 'joinByField', options: { byField: 'Time', mode: 'outer' } }],
    },
    options,
    { ...field },
  );
}

/** Words, in Markdown; may hold variables of the dashboard. */
export function text(words: Words, content: string): Drawn {
  const options: Json<TextOptions> = { mode: 'markdown', content };
  return draw('text', words, { options });
}
