import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { metricsMarkdown } from '../../../../dashboards/grafana/metrics-table.ts';

it('docs/reference/metrics.md has the table of the catalogue', () => {
  const text = readFileSync(
    new URL('../../../../docs/reference/metrics.md', import.meta.url),
    'utf8',
  );
  const [, table = ''] = text.split(/<!-- \/?metrics -->/);
  expect(table.trim()).toBe(metricsMarkdown());
});
