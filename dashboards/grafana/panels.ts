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
 * The version of the panel options. Without it, Grafana would migrate the options of xychart
 * panels.
 */
const PLUGIN_VERSION = '12.0.0';

/** The size of every stat panel: six fill a row. */
const STAT_SIZE = { width: 4, height: 4 };

/** A panel for the generator's Row, which calls generate(). */
export interface PanelSource {
  /** The gridPos contains only the size; the position depends on the preceding panels. */
  generate(): PanelJson;
}

interface PanelText {
  readonly title: string;
  /** What the panel shows and how to read it. */
  readonly description: string;
  /** Width and height are in grid columns and grid rows. */
  readonly width: number;
  readonly height: number;
}

interface QueryPanel extends PanelText {
  /** The Grafana unit, such as s, bytes or percentunit. */
  readonly unit: string;
  readonly queries: readonly Query[];
  readonly overrides?: readonly OverrideJson[];
  readonly transformations?: PanelJson['transformations'];
  readonly field?: FieldJson;
}

function draw(
  type: string,
  { title, description, width, height }: PanelText,
  rest: Omit<PanelJson, 'type' | 'title'>,
): PanelSource {
  const gridPos = { x: 0, y: 0, w: width, h: height };
  return {
    generate: () => ({ type, title, description, pluginVersion: PLUGIN_VERSION, gridPos, ...rest }),
  };
}

function drawQueries(
  type: string,
  panel: QueryPanel,
  options: Record<string, unknown>,
  custom: Record<string, unknown>,
): PanelSource {
  const { unit, queries, overrides = [], transformations = [], field = {} } = panel;
  return draw(type, panel, {
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
  panel: QueryPanel & { readonly custom?: Json<SeriesField>; readonly calcs?: string[] },
): PanelSource {
  const { calcs = [], custom = {} } = panel;
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
  const defaults: FieldJson = { color: { mode: 'palette-classic-by-name' }, ...panel.field };
  return drawQueries('timeseries', { ...panel, field: defaults }, options, field);
}

type StatPanel = Omit<QueryPanel, 'width' | 'height'> & {
  readonly graph?: 'none' | 'area';
  readonly shows?: 'value' | 'value_and_name';
};

/** A small panel that shows the newest value as a number in front of a graph of its history. */
export function stat(panel: StatPanel): PanelSource {
  const options: Json<StatOptions> = {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode:
      panel.field?.thresholds === undefined && panel.field?.mappings === undefined
        ? 'none'
        : 'value',
    graphMode: panel.graph ?? 'area',
    justifyMode: 'auto',
    orientation: 'auto',
    textMode: panel.shows ?? 'value',
    wideLayout: true,
    showPercentChange: false,
    percentChangeColorMode: 'standard',
  };
  const quiet: FieldJson = { color: { mode: 'thresholds' }, noValue: 'none yet', ...panel.field };
  return drawQueries('stat', { ...panel, ...STAT_SIZE, field: quiet }, options, {});
}

/** A table of the newest values. */
export function rows(panel: QueryPanel & { readonly custom?: Json<TableField> }): PanelSource {
  const options: Json<TableOptions> = { frameIndex: 0, showHeader: true, cellHeight: 'sm' };
  const field: Json<TableField> = {
    align: 'auto',
    cellOptions: { type: 'auto' },
    inspect: false,
    ...panel.custom,
  };
  return drawQueries('table', panel, options, field);
}

/** A heatmap of a histogram's bucket counts over time. */
export function heatmap(panel: QueryPanel): PanelSource {
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
    yAxis: { axisPlacement: 'left', reverse: false, unit: panel.unit },
  };
  return drawQueries('heatmap', panel, options, {
    hideFrom: { legend: false, tooltip: false, viz: false },
  });
}

/** One bar per series, coloured by value over time. */
export function stateTimeline(panel: QueryPanel): PanelSource {
  const options: Json<TimelineOptions> = {
    legend: listLegend,
    mergeValues: true,
    rowHeight: 0.8,
    showValue: 'never',
    tooltip: { mode: 'single', sort: 'none' },
  };
  const field: Json<TimelineField> = { fillOpacity: 85, lineWidth: 0 };
  return drawQueries('state-timeline', panel, options, { ...field });
}

/** Lines that plot one query against another, joined by time. */
export function curves(
  panel: QueryPanel & {
    readonly pairs: readonly (readonly [x: string, y: string])[];
    readonly xLabel: string;
  },
): PanelSource {
  const byName = (options: string) => ({ matcher: { id: 'byName', options } });
  const options: Json<CurveOptions> = {
    mapping: 'manual',
    series: panel.pairs.map(([x, y]) => ({ name: { fixed: y }, x: byName(x), y: byName(y) })),
    legend: listLegend,
    tooltip: { mode: 'single', sort: 'none' },
  };
  const field: Json<CurveField> = {
    show: 'lines',
    lineWidth: 1,
    pointSize: { fixed: 3 },
    fillOpacity: 50,
  };
  const xs = [...new Set(panel.pairs.map(([x]) => x))];
  const axis = xs.map((x) => ({
    matcher: { id: 'byName', options: x },
    properties: [
      { id: 'unit', value: 'locale' },
      { id: 'custom.axisLabel', value: panel.xLabel },
    ],
  }));
  return drawQueries(
    'xychart',
    {
      ...panel,
      overrides: [...(panel.overrides ?? []), ...axis],
      transformations: [{ id: 'joinByField', options: { byField: 'Time', mode: 'outer' } }],
    },
    options,
    { ...field },
  );
}

/** Markdown text, which may contain the dashboard's variables. */
export function text(words: PanelText, content: string): PanelSource {
  const options: Json<TextOptions> = { mode: 'markdown', content };
  return draw('text', words, { options });
}
