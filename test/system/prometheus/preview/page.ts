import { chromium } from 'playwright-core';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readDashboards, type Dashboard, type Panel } from '../../../fixtures/read-dashboards.ts';
import type { Asker } from '../prometheus.ts';
import { curves, heatmap, timeline, timeSeries, type Drawing } from './charts.ts';
import { ask, color, marks, type Moment, type Named, type Window } from './data.ts';
import { table } from './tables.ts';
import { format } from './units.ts';

/** The width of the screen on which Grafana's grid is laid out. */
const PAGE_WIDTH = 1600;
const CELL_HEIGHT = 38;
const GAP = 8;
const HEAD_HEIGHT = 32;
const LEGEND_HEIGHT = 22;
const BROWSER = '/usr/bin/chromium-headless-shell';

const style = `
  body { margin: 0; background: #111217; color: #ccccdc; font: 13px system-ui, sans-serif; }
  section { position: absolute; box-sizing: border-box; background: #181b1f;
    border: 1px solid #2c2f36; border-radius: 2px; overflow: hidden; }
  h2 { font-size: 14px; font-weight: 500; margin: 0; padding: 8px; height: 16px;
    white-space: nowrap; }
  h1 { position: absolute; margin: 0; padding: 8px; font-size: 15px; font-weight: 500; }
  .legend { padding: 0 8px; white-space: nowrap; font-size: 12px; }
  .legend i { display: inline-block; width: 14px; height: 4px; margin: 0 4px 2px 10px; }
  .stat { font-size: 34px; text-align: center; padding-top: 22px; }
  .none { color: #ff5555; padding: 20px; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  td, th { padding: 6px 8px; text-align: left; border-bottom: 1px solid #2c2f36; font-weight: 400; }
  th { color: #8e8e99; } pre { padding: 0 8px; white-space: pre-wrap; }`;

/** Draws every dashboard as a PNG, approximately as Grafana would; returns the files' paths. */
export async function drawPreviews(asker: Asker, window: Window, out: string): Promise<string[]> {
  const browser = await chromium.launch({ executablePath: BROWSER });
  try {
    const files: string[] = [];
    for (const dashboard of readDashboards()) {
      const html = await pageOf(asker, dashboard, window);
      const height =
        Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h)) * CELL_HEIGHT + GAP;
      const page = await browser.newPage({ viewport: { width: PAGE_WIDTH, height } });
      await page.setContent(html);
      const file = join(out, `grafana-${dashboard.file.replace('.json', '.png')}`);
      writeFileSync(file, await page.screenshot());
      await page.close();
      files.push(file);
    }
    return files;
  } finally {
    await browser.close();
  }
}

async function pageOf(asker: Asker, dashboard: Dashboard, window: Window): Promise<string> {
  const moments = await marks(asker, dashboard, window);
  const parts = await Promise.all(
    dashboard.panels.map((panel) => partOf(asker, panel, moments, window)),
  );
  return `<!doctype html><meta charset="utf-8"><style>${style}</style>${parts.join('')}`;
}

async function partOf(
  asker: Asker,
  panel: Panel,
  moments: readonly Moment[],
  window: Window,
): Promise<string> {
  const { x, y, w, h } = panel.gridPos;
  const width = (w * PAGE_WIDTH) / 24 - GAP;
  const height = h * CELL_HEIGHT - GAP;
  const place =
    `left:${(x * PAGE_WIDTH) / 24 + GAP / 2}px;top:${y * CELL_HEIGHT + GAP / 2}px;` +
    `width:${width}px;height:${height}px`;
  if (panel.type === 'row') return `<h1 style="${place}">${panel.title}</h1>`;
  const series = (
    await Promise.all((panel.targets ?? []).map((target) => ask(asker, target, window)))
  ).flat();
  const size = { width: width - 10, height: height - HEAD_HEIGHT - LEGEND_HEIGHT - 4 };
  const body =
    series.length === 0 && panel.type !== 'text'
      ? '<p class="none">No data</p>'
      : await bodyOf({ panel, series, moments, window, size });
  return `<section style="${place}"><h2>${panel.title}</h2>${body}</section>`;
}

async function bodyOf(drawing: Drawing): Promise<string> {
  const { panel, series } = drawing;
  switch (panel.type) {
    case 'timeseries':
      return (await timeSeries(drawing)) + legend(panel, series);
    case 'xychart':
      return (
        (await curves(drawing)) +
        legend(
          panel,
          series.filter(({ name }) => !name.endsWith('step')),
        )
      );
    case 'heatmap':
      return heatmap(drawing);
    case 'state-timeline':
      return (await timeline(drawing)) + states(panel);
    case 'table':
      return table(panel, series);
    case 'stat':
      return stat(panel, series);
    case 'text':
      return `<pre>${String(panel.options?.['content'])}</pre>`;
    default:
      throw new Error(`the preview cannot draw ${panel.type}`);
  }
}

function legend(panel: Panel, series: readonly Named[]): string {
  const unit = panel.fieldConfig?.defaults.unit ?? 'none';
  const parts = series.map(({ name, points }, index) => {
    const last = points.findLast(([, value]) => Number.isFinite(value))?.[1] ?? NaN;
    return `<i style="background:${color(panel, name, index)}"></i>${name} ${format(last, unit)}`;
  });
  return `<div class="legend">${parts.join('')}</div>`;
}

function states(panel: Panel): string {
  const known = Object.values(panel.fieldConfig?.defaults.mappings?.[0]?.options ?? {});
  const parts = known.map(({ text, color: c }) => `<i style="background:${c}"></i>${text}`);
  return `<div class="legend">${parts.join('')}</div>`;
}

function stat(panel: Panel, [series]: readonly Named[]): string {
  const { unit = 'none', decimals, mappings } = panel.fieldConfig?.defaults ?? {};
  const last = series?.points.findLast(([, value]) => Number.isFinite(value))?.[1] ?? NaN;
  const mapped = mappings?.[0]?.options[String(last)];
  const shown = mapped?.text ?? format(last, unit, decimals);
  return `<div class="stat" style="color:${mapped?.color ?? 'inherit'}">${shown}</div>`;
}
