import { catalogue, METRIC_PREFIX, metricNames } from '../metrics/catalogue.ts';

/** The catalogue as a table for the documents. */
export function metricsMarkdown(): string {
  const rows = metricNames.map((name) => {
    const { kind, labels, help } = catalogue[name];
    const cells = [
      `\`${METRIC_PREFIX}${name}\``,
      kind,
      labels.map((label) => `\`${label}\``).join(', '),
      help,
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return ['| metric | type | labels | what it says |', '|---|---|---|---|', ...rows].join('\n');
}
