import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { lintMetrics, missing, rulesFolder } from '../../fixtures/promtool.ts';
import { readDashboards, settled } from '../../fixtures/read-dashboards.ts';
import { drawPreviews } from './preview/page.ts';
import { Asker } from './prometheus.ts';
import { watchRun, type WatchedRun } from './watched-run.ts';

interface Asked {
  readonly where: string;
  readonly expr: string;
  readonly isInstant: boolean;
}

/** Set by preview.mjs: where to write the drawn dashboards, and which Prometheus to query. */
const { PREVIEW_OUT: out = '', PREVIEW_PROMETHEUS: given } = process.env;
const STEP_SECONDS = 1;
const PATIENCE_MILLISECONDS = 60_000;
const PREVIEW_MILLISECONDS = 30_000;
const recorded = readFileSync(join(rulesFolder, 'recording.yml'), 'utf8').matchAll(
  /record: (\S+)/g,
);
const asked: readonly Asked[] = readDashboards().flatMap(({ title, panels, annotations }) => [
  ...panels.flatMap((panel) =>
    (panel.targets ?? []).map(({ expr, instant }) => ({
      where: `${title}: ${panel.title}`,
      expr,
      isInstant: instant,
    })),
  ),
  ...annotations.list.map(({ name, expr }) => ({
    where: `${title}: mark ${name}`,
    expr,
    isInstant: false,
  })),
]);
const queries: readonly Asked[] = [
  ...asked,
  ...[...recorded].map(([, expr = '']) => ({ where: 'recording rules', expr, isInstant: true })),
];

describe.skipIf(missing !== undefined)(
  `a Prometheus that watches a run${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    if (given !== undefined) {
      it(`supplies the data for the drawn dashboards: ${given}`, async () => {
        const asker = new Asker(given);
        const found = await asker.at('max by (run_id) (last_over_time(mnist_dist_run_info[15m]))');
        const [run] = found
          .map(({ labels }) => labels['run_id'] ?? '')
          .toSorted((a, b) => (a < b ? 1 : -1));
        if (run === undefined)
          throw new Error('this Prometheus has seen no run in the last quarter of an hour');
        const end = Math.floor(Date.now() / 1000);
        await drawPreviews(asker, { run, start: end - 900, end, step: 2 }, out);
      });
      return;
    }
    it('has data for each query of each panel, each mark and each recorded series', async () => {
      const watched = await watchRun();
      // All data already exists, except for rates, which need a few scrapes after the last
      // disturbance.
      await expect
        .poll(() => emptyOnes(watched), { timeout: PATIENCE_MILLISECONDS, interval: 500 })
        .toEqual([]);
      const exported = await (await fetch(`http://${watched.page}/metrics`)).text();
      // The names of prom-client's own metrics break Prometheus' naming rules.
      const own = exported.split('\n').filter((line) => line.includes('mnist_dist_'));
      expect(own.length).toBeGreaterThan(100);
      expect(lintMetrics(`${own.join('\n')}\n`)).toBe('');
      if (out !== '') await draw(watched);
    });
  },
);

/** Draws the dashboards as a user would see them: some time after the last disturbance. */
async function draw({ asker, run, since }: WatchedRun): Promise<void> {
  await sleep(PREVIEW_MILLISECONDS);
  const window = {
    start: Math.floor(since),
    end: Math.floor(Date.now() / 1000),
    step: STEP_SECONDS,
  };
  await drawPreviews(asker, { run, ...window }, out);
}

async function emptyOnes(watched: WatchedRun): Promise<readonly Asked[]> {
  const answers = await Promise.all(queries.map((query) => hasData(watched, query)));
  return queries.filter((_, index) => answers[index] === false);
}

/** Whether there is at least one number that can be drawn. */
async function hasData(
  { asker, run, since }: WatchedRun,
  { expr, isInstant }: Asked,
): Promise<boolean> {
  const now = Date.now() / 1000;
  const query = settled(expr, {
    run,
    rangeSeconds: Math.ceil(now - since),
    stepSeconds: STEP_SECONDS,
  });
  const series = isInstant
    ? await asker.at(query, now)
    : await asker.between(query, Math.floor(since), Math.ceil(now), STEP_SECONDS);
  return series.some(({ points }) => points.some(([, value]) => Number.isFinite(value)));
}
