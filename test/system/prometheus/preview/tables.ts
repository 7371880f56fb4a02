import type { Panel } from '../../../fixtures/read-dashboards.ts';
import { property, type Named } from './data.ts';
import { format } from './units.ts';

type Row = Readonly<Record<string, string | number>>;

/** A table panel as HTML, with the few transformations that our tables use. */
export function table(panel: Panel, series: readonly Named[]): string {
  const transformations = panel.transformations ?? [];
  const matrix = transformations.find(({ id }) => id === 'groupingToMatrix');
  return matrix === undefined ? merged(panel, series) : confusion(series);
}

/** Merges rows with the same labels; renames and omits columns according to `organize`. */
function merged(panel: Panel, series: readonly Named[]): string {
  const organize = panel.transformations?.find(({ id }) => id === 'organize')?.options ?? {};
  const names = new Map(
    Object.entries(Object(organize['renameByName'] ?? {})).map(([from, to]) => [from, String(to)]),
  );
  const excluded = Object.keys(Object(organize['excludeByName'] ?? {}));
  const isOne = (panel.targets ?? []).length === 1;
  const rows = new Map<string, Record<string, string | number>>();
  for (const { labels, points, refId } of series) {
    const key = JSON.stringify(labels);
    const row = rows.get(key) ?? { ...labels };
    const column = isOne ? 'Value' : `Value #${refId}`;
    rows.set(key, { ...row, [column]: points.at(-1)?.[1] ?? NaN });
  }
  const columns = [...new Set([...rows.values()].flatMap((row) => Object.keys(row)))]
    .filter((column) => !excluded.includes(column))
    .toSorted(
      (a, b) => Number(a.startsWith('Value')) - Number(b.startsWith('Value')) || (a < b ? -1 : 1),
    );
  const body = [...rows.values()]
    .map((row) =>
      columns.map((column) => cell(panel, names.get(column) ?? column, row[column])).join(''),
    )
    .toSorted();
  return html(
    columns.map((column) => names.get(column) ?? column),
    body,
  );
}

function cell(panel: Panel, name: string, value: Row[string] | undefined): string {
  if (typeof value !== 'number') return `<td>${value ?? ''}</td>`;
  const mappings = property(panel, name, 'mappings');
  if (Array.isArray(mappings)) {
    const { text, color } = Object(mappings[0]).options[String(value)] ?? {
      text: '?',
      color: 'red',
    };
    return `<td style="color:${color}">${text}</td>`;
  }
  const unit = property(panel, name, 'unit');
  const decimals = property(panel, name, 'decimals');
  const text = format(
    value,
    typeof unit === 'string' ? unit : 'none',
    typeof decimals === 'number' ? decimals : undefined,
  );
  return `<td>${text}</td>`;
}

function confusion(series: readonly Named[]): string {
  const predicted = [...new Set(series.map(({ labels }) => labels['predicted'] ?? ''))].toSorted();
  const actual = [...new Set(series.map(({ labels }) => labels['actual'] ?? ''))].toSorted();
  const counts = new Map(
    series.map(({ labels, points }) => [
      `${labels['actual']} ${labels['predicted']}`,
      points[0]?.[1] ?? 0,
    ]),
  );
  const most = Math.max(...counts.values());
  const body = actual.map((row) => {
    const cells = predicted.map((column) => {
      const count = counts.get(`${row} ${column}`) ?? 0;
      const share = count / most;
      const shade = `hsl(210 80% ${95 - 60 * share}%)`;
      return (
        `<td style="background:${shade};color:${share > 0.5 ? 'white' : 'black'};` +
        `text-align:center">${count}</td>`
      );
    });
    return `<td>${row}</td>${cells.join('')}`;
  });
  return html(['actual\\predicted', ...predicted], body);
}

function html(head: readonly string[], body: readonly string[]): string {
  const cells = head.map((name) => `<th>${name}</th>`).join('');
  return `<table><tr>${cells}</tr>${body.map((row) => `<tr>${row}</tr>`).join('')}</table>`;
}
