import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RunView } from '../../../dashboards/feed/api.ts';
import { points, status, view } from './fake-run.ts';
import { standIn } from './fake-server.ts';
import * as visitor from './visitor.ts';
import { eventually, missing, painted, text } from './visitor.ts';

describe.skipIf(missing !== undefined)(`details of the live page${visitor.why}`, () => {
  let browser: Browser;
  const open: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    browser = await visitor.startBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close();
  });

  async function start(run: RunView) {
    const server = await standIn(run);
    open.push(() => server.close());
    const visit = await visitor.visit(browser, server.url);
    open.push(() => visit.close());
    await eventually(async () => expect(server.streams()).toBe(1));
    return { server, ...visit };
  }

  test('shows the learning rate and the gradient norm as the third curve', async () => {
    const { server, page, complaints } = await start(view(500));
    const choose = async (name: string) => void (await page.selectOption('#third', name));
    await choose('rate');
    const key = () => text(page, '#third-chart .key');
    await eventually(async () => expect(await key()).toMatch(/^0\.0009/));
    expect(await page.locator('#speed-plot').isVisible()).toBe(false);
    await choose('norm');
    await eventually(async () => expect(await key()).toBe('0.1'));
    const before = await painted(page, '#norm-plot canvas');
    const gradientNorms = [[700, 0.5]] as const;
    server.send({ curve: points(501, 700), gradientNorms, status: status({ step: 700 }) });
    await eventually(async () => expect(await key()).toBe('0.5'));
    expect(await painted(page, '#norm-plot canvas')).not.toBe(before);
    await page.locator('#norm-plot').focus();
    await page.keyboard.press('Home');
    await eventually(async () => expect(await key()).toBe('step 11'));
    expect(complaints).toEqual([]);
  });

  test('links to the files, and says which command started the run', async () => {
    const { page, complaints } = await start(view(200));
    await eventually(async () =>
      expect(await text(page, '#file-list')).toContain('Run run.json, 2.3 kB'),
    );
    const href = await page.locator('#file-list a').getAttribute('href');
    expect(href).toBe('files/run.json');
    expect(await text(page, '#command')).toBe('Started with mnist-dist local --epochs 5');
    expect(complaints).toEqual([]);
  });
});
