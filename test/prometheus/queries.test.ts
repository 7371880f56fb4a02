import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missing, rulesFolder } from '../dashboards/promtool.ts';
import { readDashboards, settled } from '../dashboards/read.ts';
import { watchRun, type WatchedRun } from './watched-run.ts';

interface Asked {
  readonly where: string;
  readonly expr: string;
  readonly isInstant: boolean;
}

const STEP_SECONDS = 1;
const PATIENCE_MILLISECONDS = 60_000;
const recorded = readFileSync(join(rulesFolder, 'recording.yml'), 'utf8').matchAll(/record: (\S+)/g);
const asked: readonly Asked[] = readDashboards().flatMap(({ title, panels, annotations }) => [
  ...panels.flatMap((panel) =>
    (panel.targets ?? []).map(({ expr, instant }) => ({
      ...{ where: `${title}: ${panel.title}`, expr, isInstant: instant },
    })),
  ),
  ...annotations.list.map(({ name, expr }) => ({
    ...{ where: `${title}: mark ${name}`, expr, isInstant: false },
  })),
]);
const queries: readonly Asked[] = [
  ...asked,
  ...[...recorded].map(([, expr = '']) => ({ where: 'recording rules', expr, isInstant: true })),
];

describe.skipIf(missing !== undefined)(
  `a Prometheus that watches a run${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    it('has data for every query of every panel, every mark and every recorded series', async () => {
      const watched = await watchRun();
      // What has to be there is there already, but for rates, which need a few scrapes after the last disturbance.
      await expect
        .poll(() => emptyOnes(watched), { timeout: PATIENCE_MILLISECONDS, interval: 500 })
        .toEqual([]);
    });
  },
);

async function emptyOnes(watched: WatchedRun): Promise<readonly Asked[]> {
  const answers = await Promise.all(queries.map((query) => hasData(watched, query)));
  return queries.filter((_, index) => answers[index] === false);
}

/** Whether there is at least one number that can be drawn. */
async function hasData({ asker, run, since }: WatchedRun, { expr, isInstant }: Asked): Promise<boolean> {
  const now = Date.now() / 1000;
  const query = settled(expr, { run, rangeSeconds: Math.ceil(now - since), stepSeconds: STEP_SECONDS });
  const series = isInstant
    ? await asker.at(query, now)
    : await asker.between(query, Math.floor(since), Math.ceil(now), STEP_SECONDS);
  return series.some(({ points }) => points.some(([, value]) => Number.isFinite(value)));
}
