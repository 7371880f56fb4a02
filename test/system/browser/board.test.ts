import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readRecordedRun } from '../../../cli/runs/run-overview.ts';
import { BoardServer } from '../../../dashboards/board/board-server.ts';
import { MetricsFormatter } from '../../../shared/files/metrics.ts';
import { configuration, dataset, makeUp } from '../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { contrasts } from './contrast.ts';
import { eventually, missing, painted, startBrowser, visit, why, widthOf } from './visitor.ts';

const HOSTILE = '<img src=x onerror=alert(1)>';
const STEPS = 400;

/** Steps like those of a real run. */
function metrics(from: number, to: number, shift: number): string {
  const formatter = new MetricsFormatter();
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const step = from + i;
    return formatter.step({
      step,
      epoch: 1,
      samples: 8,
      loss: (2 + shift) / (1 + step / 40),
      correct: Math.min(8, 1 + Math.floor(step / 60)),
      milliseconds: 1 + (step % 3),
      learning_rate: 0.01,
      weights: 0n,
      chain: '0'.repeat(64),
    });
  }).join('');
}

/** Two finished runs, with the second one's mistakes among those of the first. */
async function folderOfRuns(): Promise<string> {
  const runs = temporaryFolder();
  for (const [seed, runId] of ['one', 'two'].entries()) {
    const directory = await makeUp({ runs, runId, configuration: { ...configuration, seed } });
    writeFileSync(join(directory, 'metrics.jsonl'), metrics(1, STEPS, seed));
    const mistakes = Array.from({ length: 4 - 2 * seed }, (_, index) =>
      JSON.stringify({
        index,
        true: index,
        predicted: 9,
        probabilities: Array(10).fill(0.5),
        loss: 1,
      }),
    );
    mkdirSync(join(directory, 'artifacts'), { recursive: true });
    writeFileSync(join(directory, 'artifacts', 'misclassified.jsonl'), mistakes.join('\n'));
    writeFileSync(join(directory, 'artifacts', 'report.html'), '<p>The report</p>');
  }
  return runs;
}

describe.skipIf(missing !== undefined)(`the board in Chromium${why}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  async function open(folder: string, options?: Parameters<typeof visit>[2]) {
    const server = await BoardServer.open({
      host: '127.0.0.1',
      port: 0,
      isPortFree: false,
      folder,
      readRun: readRecordedRun,
      loadDataset: () => Promise.resolve(dataset),
      onDefect: (error) => {
        throw error;
      },
    });
    onTestFinished(() => server.close());
    const visitor = await visit(browser, server.url, options);
    onTestFinished(() => visitor.close());
    await eventually(async () =>
      expect(await visitor.page.locator('#run-rows tr').count()).toBeGreaterThan(0),
    );
    return { url: server.url, ...visitor };
  }

  const texts = (page: Page, selector: string) => page.locator(selector).allTextContents();
  const isDrawn = (page: Page) =>
    eventually(async () => expect(await page.locator('#loss-plot canvas').count()).toBe(1));

  test('shows runs, curves with one legend, matrices, their difference and mistakes', async () => {
    const { page, complaints } = await open(await folderOfRuns());
    expect(await texts(page, '#run-heads th')).toEqual(
      expect.arrayContaining(['Run', 'State', 'Accuracy', 'seed', 'Report']),
    );
    await eventually(async () =>
      expect(await texts(page, '#legend-rows .name')).toEqual(
        expect.arrayContaining(['one', 'two']),
      ),
    );
    await isDrawn(page);
    // The curves arrive one after the other.
    await eventually(async () =>
      expect(await page.locator('#loss-plot').getAttribute('aria-label')).toContain(
        'Loss of 2 runs',
      ),
    );
    await eventually(async () =>
      expect(await texts(page, '#pairs h3')).toEqual([
        expect.stringMatching(/^Both are wrong: 2$/),
        expect.stringMatching(/^Only (one|two) is wrong: [02]$/),
        expect.stringMatching(/^Only (one|two) is wrong: [02]$/),
      ]),
    );
    expect(await page.locator('#pairs canvas').count()).toBe(4);
    for (const id of ['first-matrix', 'second-matrix', 'difference'])
      expect(await page.locator(`#${id} tbody tr`).count(), id).toBe(10);
    expect(complaints).toEqual([]);
  });

  test('zooms all charts by dragging and by keys, and shows all steps again', async () => {
    const { page, complaints } = await open(await folderOfRuns());
    await isDrawn(page);
    const note = () => page.locator('#zoom-note').textContent();
    const charts = ['#loss-plot canvas', '#accuracy-plot canvas', '#speed-plot canvas'];
    const box = await page.locator('#loss-plot .u-over').boundingBox();
    if (box === null) throw new Error('there is no chart');
    const before = await Promise.all(charts.map((chart) => painted(page, chart)));
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.25, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, y, { steps: 4 });
    await page.mouse.up();
    await eventually(async () =>
      expect(await note()).toMatch(/^Steps (99|100|101) to (199|200|201)$/),
    );
    for (const [index, chart] of charts.entries())
      expect(await painted(page, chart), chart).not.toBe(before[index]);
    await page.mouse.dblclick(box.x + box.width / 2, y);
    await eventually(async () => expect(await note()).toBe(''));
    expect(await page.locator('#zoom-reset').isHidden()).toBe(true);
    await page.mouse.move(0, 0);
    const plot = page.locator('#accuracy-plot');
    await plot.press('Home');
    await plot.press('+');
    await eventually(async () => expect(await note()).toBe('Steps 0 to 200'));
    await plot.press('End');
    await eventually(async () =>
      expect((await texts(page, '#legend-rows td:nth-child(2)'))[0]).toBe('200'),
    );
    await page.locator('#zoom-reset').click();
    await eventually(async () => expect(await note()).toBe(''));
    expect(complaints).toEqual([]);
  });

  test('sorts, filters and chooses runs, and finds them again after a reload', async () => {
    const { page, complaints } = await open(await folderOfRuns());
    const names = () => texts(page, '#run-rows th');
    await page.locator('#run-heads button', { hasText: 'Run' }).press('Enter');
    expect(await names()).toEqual(['one', 'two']);
    expect(await page.locator('[aria-sort="ascending"]').textContent()).toBe('Run');
    await page.locator('#run-heads button', { hasText: 'Run' }).press('Enter');
    expect(await names()).toEqual(['two', 'one']);
    await page.locator('#filter').fill('seed=1');
    expect(await names()).toEqual(['two']);
    // A single run has no differences.
    expect(await texts(page, '#run-heads th')).not.toContain('seed');
    await page.locator('#filter').fill('');
    await page.getByLabel('Show the curves of one').press('Space');
    await eventually(async () => expect(await texts(page, '#legend-rows .name')).toEqual(['two']));
    await page.reload();
    await eventually(async () => expect(await texts(page, '#legend-rows .name')).toEqual(['two']));
    await page.locator('#choose-none').click();
    await eventually(async () => expect(await page.locator('#legend').isHidden()).toBe(true));
    expect(complaints).toEqual([]);
  });

  test('follows a run that grows, and survives a server that is away for a while', async () => {
    const folder = await folderOfRuns();
    const { page } = await open(folder);
    await isDrawn(page);
    appendFileSync(join(folder, 'one', 'metrics.jsonl'), metrics(STEPS + 1, STEPS + 50, 0));
    await eventually(async () =>
      expect(await texts(page, '#legend-rows td:nth-child(2)')).toContain('450'),
    );
    await page.route('**/api/runs', (route) => route.abort());
    await eventually(async () =>
      expect(await page.locator('#state').textContent()).toContain('Connection lost'),
    );
    await page.unroute('**/api/runs');
    await eventually(async () =>
      expect(await page.locator('#state').textContent()).toContain('2 runs'),
    );
  });

  test('shows names and settings as text, never markup', async () => {
    const folder = await folderOfRuns();
    const name = HOSTILE.replace('/', '');
    renameSync(join(folder, 'two'), join(folder, name));
    mkdirSync(join(folder, `${name}2`));
    const record = join(folder, 'one', 'run.json');
    const named = readFileSync(record, 'utf8').replace('"0"', JSON.stringify(HOSTILE));
    writeFileSync(record, named);
    const { page, complaints } = await open(folder);
    await eventually(async () => expect(await texts(page, '#run-rows th')).toContain(name));
    expect(await texts(page, '#unlisted-list b')).toEqual([`${name}2`]);
    await eventually(async () => expect(await texts(page, '#legend-rows .name')).toContain(name));
    await eventually(async () =>
      expect(await page.locator('#pairs').textContent()).toContain(HOSTILE),
    );
    expect(await page.locator('body img, body script').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test("leads to a run's own page and to its report", async () => {
    const { url, page, complaints } = await open(await folderOfRuns());
    await page.getByRole('link', { name: 'one', exact: true }).click();
    await eventually(async () => expect(await page.locator('#run-id').textContent()).toBe('one'));
    await eventually(async () => expect(await page.locator('#step').textContent()).not.toBe('–'));
    await page.goto(`${url}runs/one/files/artifacts/report.html`);
    expect(await page.locator('p').textContent()).toBe('The report');
    expect(complaints).toEqual([]);
  });

  test.each(['light', 'dark'] as const)(
    'is readable in the %s theme, and on a phone',
    async (theme) => {
      const { page } = await open(await folderOfRuns(), { colorScheme: theme });
      await isDrawn(page);
      await eventually(async () => expect(await page.locator('#pairs li').count()).toBe(4));
      const faint = (await contrasts(page)).filter(({ contrast }) => contrast < 4.5);
      expect(faint).toEqual([]);
      await page.setViewportSize({ width: 390, height: 900 });
      await eventually(async () => expect(await widthOf(page)).toBeLessThanOrEqual(390));
    },
  );
});
