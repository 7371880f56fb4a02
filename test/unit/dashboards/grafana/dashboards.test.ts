import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { dashboardFiles } from '../../../../dashboards/grafana/dashboard-files.ts';
import { metricNames, type MetricName } from '../../../../dashboards/metrics/catalogue.ts';
import { metricsIn } from './metric-names.ts';
import { missing, promtool, rulesFolder } from '../../../fixtures/promtool.ts';
import { readDashboards, settled, type Panel } from '../../../fixtures/read-dashboards.ts';
import { validatorOf } from './grafana-schema.ts';

const folder = fileURLToPath(new URL('../../../../dashboards/grafana/', import.meta.url));
const dashboards = readDashboards();
const panels = dashboards.flatMap((dashboard) =>
  dashboard.panels
    .filter(({ type }) => type !== 'row')
    .map((panel) => ({ ...panel, dashboard: dashboard.title })),
);
const queries = dashboards.flatMap(({ title, panels, annotations }) => [
  ...panels.flatMap((panel) =>
    (panel.targets ?? []).map(({ expr }) => ({ where: `${title}: ${panel.title}`, expr })),
  ),
  ...annotations.list.map(({ name, expr }) => ({ where: `${title}: mark ${name}`, expr })),
]);

/** The part of the schema that describes each panel type's options. */
const optionTypes: Readonly<Record<string, string>> = {
  heatmap: 'heatmap',
  stat: 'stat',
  'state-timeline': 'statetimeline',
  table: 'table',
  text: 'text',
  timeseries: 'timeseries',
  xychart: 'xychart',
};
/** The panel types whose fields have their own options. */
const withFields = new Set(['heatmap', 'state-timeline', 'table', 'timeseries', 'xychart']);

describe('the dashboards', () => {
  it('match the committed files byte for byte', () => {
    const committed = readdirSync(folder).filter((name) => name.endsWith('.json'));
    const files = dashboardFiles();
    expect(committed.toSorted()).toEqual(files.map(({ name }) => name).toSorted());
    for (const { name, text } of files) {
      expect(readFileSync(join(folder, name), 'utf8'), 'npm run dashboards writes them').toBe(text);
    }
  });

  it('have the same bytes each time they are generated', () => {
    expect(dashboardFiles()).toEqual(dashboardFiles());
  });

  it.each(dashboardFiles())("$name contains only what Grafana's schema allows", ({ text }) => {
    const validate = validatorOf('dashboard/x', 'Dashboard');
    validate(JSON.parse(text));
    expect(validate.errors ?? []).toEqual([]);
  });

  it.each(panels)("$dashboard: the options of $title match Grafana's schema", (panel) => {
    const file = `composable/${optionTypes[panel.type]}/panelcfg/x`;
    const validate = validatorOf(file, 'Options');
    validate(panel.options);
    expect(validate.errors ?? []).toEqual([]);
    if (!withFields.has(panel.type)) return;
    const validateField = validatorOf(file, 'FieldConfig');
    validateField(panel.fieldConfig?.defaults.custom);
    expect(validateField.errors ?? []).toEqual([]);
  });

  it('have unique uids, and their panels have unique ids', () => {
    expect(new Set(dashboards.map(({ uid }) => uid)).size).toBe(dashboards.length);
    for (const { uid, panels: own } of dashboards) {
      expect(uid).toMatch(/^[a-z-]{8,40}$/);
      expect(own.map(({ id }) => id)).toEqual(own.map((_, index) => index + 1));
    }
  });

  it.each(dashboards)('$title: panels neither overlap nor leave the grid', ({ panels: own }) => {
    const taken = new Set<string>();
    for (const { title, gridPos } of own) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (const cell of cellsOf(gridPos)) {
        expect(taken.has(cell), `${title} overlaps at ${cell}`).toBe(false);
        taken.add(cell);
      }
    }
  });

  it.each(panels)('$dashboard: $title says what it shows, and in which unit', (panel) => {
    expect(panel.title).toMatch(/^[A-Z][a-z]/);
    expect(panel.title.split(' ').slice(1).join(' ')).not.toMatch(/\b[A-Z][a-z]/);
    expect(panel.description).toMatch(/^[A-Z].+\.$/);
    if (panel.type !== 'text') expect(panel.fieldConfig?.defaults.unit).toBeDefined();
  });

  it.each(queries)('$where queries only metrics that exist', ({ expr }) => {
    const { known, unknown } = metricsIn(expr);
    expect(unknown).toEqual([]);
    expect(known.length).toBeGreaterThan(0);
  });

  it('use, together with the rules, every metric in the catalogue', () => {
    const rules = readdirSync(rulesFolder).map((name) =>
      readFileSync(join(rulesFolder, name), 'utf8'),
    );
    const used = new Set<MetricName>(
      [...queries.map(({ expr }) => expr), ...rules].flatMap((text) => metricsIn(text).known),
    );
    expect(metricNames.filter((name) => !used.has(name))).toEqual([]);
  });
});

describe.skipIf(missing !== undefined)(
  `promtool${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    it.each(dashboards)('parses every query in $title', ({ title }) => {
      const rules = queries
        .filter(({ where }) => where.startsWith(`${title}: `))
        .map(({ expr }, index) => ({
          record: `query_${index}`,
          expr: settled(expr, { run: 'r', rangeSeconds: 900, stepSeconds: 15 }),
        }));
      for (const { expr } of rules) expect(expr).not.toContain('$');
      const text = stringify({ groups: [{ name: 'queries', rules }] });
      const { status, output } = promtool(['check', 'rules'], { name: 'queries.yml', text });
      expect(status, output).toBe(0);
    });
  },
);

function cellsOf({ x, y, w, h }: Panel['gridPos']): string[] {
  return Array.from(
    { length: w * h },
    (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`,
  );
}
