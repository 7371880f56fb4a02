import { z } from 'zod';
import { GRID_COLUMNS, type DashboardJson, type PanelJson, type RowJson } from './grafana-json.ts';

/**
 * The schema version that Grafana 10.3 and later can read. Grafana rejects a version newer than its
 * own.
 */
const SCHEMA_VERSION = 39;
const ROW_TITLE_HEIGHT = 1;

const generatedPanel = z.looseObject({
  type: z.string(),
  title: z.string(),
  gridPos: z.object({
    x: z.int(),
    y: z.int(),
    w: z.int().min(1).max(GRID_COLUMNS),
    h: z.int().min(1),
  }),
});
type GeneratedPanel = z.infer<typeof generatedPanel>;

const source = z.object({ type: z.string(), uid: z.string() });
const variable = z.object({
  name: z.string(),
  label: z.string(),
  type: z.enum(['datasource', 'query', 'textbox']),
  datasource: source.nullable(),
  query: z.string(),
  definition: z.string().optional(),
  refresh: z.union([z.literal(0), z.literal(1), z.literal(2)]),
  sort: z.literal(2).optional(),
  current: z.object({ text: z.string(), value: z.string() }).partial(),
});
type Variable = z.infer<typeof variable>;

/** The output of grafana-dash-gen, without the keys for Graphite and Grafana 2. */
const drawn = z.object({
  title: z.string(),
  tags: z.array(z.string()),
  timezone: z.string(),
  editable: z.boolean(),
  refresh: z.string(),
  time: z.object({ from: z.string(), to: z.string() }),
  templating: z.object({ list: z.array(variable) }),
  annotations: z.object({
    list: z.array(
      z.object({
        name: z.string(),
        enable: z.boolean(),
        iconColor: z.string(),
        datasource: source,
        expr: z.string(),
        step: z.string(),
        textFormat: z.string(),
      }),
    ),
  }),
  rows: z.array(z.object({ title: z.string(), panels: z.array(generatedPanel) })),
});

/**
 * Places the panels of all rows on one grid and adds the keys that the generator lacks. The same
 * plan always yields the same bytes.
 */
export function toCurrentSchema(
  generated: object,
  {
    uid,
    description,
    tag,
  }: { readonly uid: string; readonly description: string; readonly tag: string },
): DashboardJson {
  const { title, rows, templating, annotations, ...rest } = drawn.parse(generated);
  return {
    uid,
    title,
    description,
    ...rest,
    // The links to the other dashboards keep the selected run and time range.
    links: [
      {
        type: 'dashboards',
        tags: [tag],
        title: 'Other dashboards of this run',
        tooltip: '',
        icon: 'external link',
        asDropdown: false,
        includeVars: true,
        keepTime: true,
        targetBlank: false,
      },
    ],
    graphTooltip: 1,
    templating: { list: templating.list.map(currentVariable) },
    annotations,
    panels: numbered(laidOut(rows)),
    schemaVersion: SCHEMA_VERSION,
    version: 1,
  };
}

function currentVariable({ name, label, type, datasource, query, ...rest }: Variable) {
  const common = { name, label, type };
  switch (type) {
    case 'datasource':
      return { ...common, query, refresh: rest.refresh };
    case 'textbox':
      return { ...common, query, current: { text: query, value: query } };
    case 'query':
      return {
        ...common,
        ...(datasource === null ? {} : { datasource }),
        query: { query, refId: 'runs' },
        definition: query,
        refresh: rest.refresh,
        sort: rest.sort ?? 0,
      };
  }
}

type Placed = GeneratedPanel | Omit<RowJson, 'id'>;

/** Places panels from left to right in lines; each row starts below the previous one. */
function laidOut(
  rows: readonly { readonly title: string; readonly panels: readonly GeneratedPanel[] }[],
): Placed[] {
  const placed: Placed[] = [];
  let y = 0;
  for (const { title, panels } of rows) {
    placed.push({
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: GRID_COLUMNS, h: ROW_TITLE_HEIGHT },
    });
    y += ROW_TITLE_HEIGHT;
    let x = 0;
    let lineHeight = 0;
    for (const panel of panels) {
      const { w, h } = panel.gridPos;
      if (x + w > GRID_COLUMNS) {
        y += lineHeight;
        x = 0;
        lineHeight = 0;
      }
      placed.push({ ...panel, gridPos: { x, y, w, h } });
      x += w;
      lineHeight = Math.max(lineHeight, h);
    }
    y += lineHeight;
  }
  return placed;
}

/**
 * Numbers the panels by position, because the generator keeps counting from one dashboard to the
 * next.
 */
function numbered(panels: readonly Placed[]): (PanelJson | RowJson)[] {
  return panels.map((panel, index) => ({ id: index + 1, ...panel }));
}
