import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { childrenOf, newRun, start, temporaryFolder } from '../process/cluster.ts';
import * as visitor from './visitor.ts';

const { draw, eventually, missing, one, painted, reads } = visitor;
const RED = 'rgb(179, 71, 0)';

describe.skipIf(missing !== undefined)(`the page of a real run in Chromium${visitor.why}`, () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await visitor.startBrowser();
  });
  afterAll(() => browser.close());

  async function visit(url: string) {
    const visit = await visitor.visit(browser, url);
    onTestFinished(() => visit.close());
    return visit;
  }

  test('moves, shows a killed worker red and whole again, and reads a drawn 1, also when all is over', async () => {
    const runs = temporaryFolder();
    const cluster = start(['local', '-n', '2', '--epochs', '4', ...newRun(runs), '--http-port', '0']);
    const [, url = ''] = await cluster.says(/(http:\/\/127\.0\.0\.1:\d+\/)/);
    const { page, complaints } = await visit(url);
    const step = async () => Number((await page.locator('#step').textContent())?.replaceAll(',', ''));
    await eventually(async () => expect(await step()).toBeGreaterThan(0));
    const curve = await painted(page, '#loss-chart canvas');
    await eventually(async () => expect(await painted(page, '#loss-chart canvas')).not.toBe(curve));

    const victim = childrenOf(cluster.process.pid).find((child) =>
      /\bworker\b.*\bw1\b/.test(child.arguments),
    );
    if (victim === undefined) throw new Error('there is no worker w1');
    const row = page.locator('#worker-rows tr', { has: page.getByText('w1', { exact: true }) });
    const state = row.locator('.state');
    const colour = () =>
      state.evaluate((element) => element.ownerDocument.defaultView.getComputedStyle(element).color);
    // Looked for in the page: it may be red for less than a look from here takes.
    const wasRed = page.evaluate<boolean>(`new Promise((resolve) => {
      const look = () => {
        const lost = document.querySelector('tr[data-state="lost"] .state');
        if (lost && getComputedStyle(lost).color === '${RED}') resolve(true);
        else requestAnimationFrame(look);
      };
      look();
    })`);
    process.kill(victim.pid, 'SIGKILL');
    expect(await wasRed).toBe(true);
    await eventually(async () =>
      expect([await state.textContent(), (await colour()) === RED]).toEqual(['training', false]),
    );
    await eventually(async () =>
      expect(await page.locator('#speed-aside').textContent()).toBe('2 workers, 1 lost so far'),
    );

    expect(await cluster.exited, cluster.output()).toBe(0);
    await eventually(async () =>
      expect(await page.locator('#state').textContent()).toMatch(/^Finished after 7,500 steps/),
    );
    expect(await page.locator('#matrix tbody tr').count()).toBe(10);
    expect(await page.locator('#mistake-list canvas').count()).toBe(48);
    await draw(page, one);
    expect((await reads(page)).text).toBe('The model reads 1');
    // Whoever comes before the run is open is told so, and a browser tells that, too.
    expect(complaints.filter((text) => !/503 \(Service Unavailable\)/.test(text))).toEqual([]);

    const shown = start(['show', `${runs}/r`, '--http-port', '0']);
    const [, address = ''] = await shown.says(/(http:\/\/127\.0\.0\.1:\d+\/)/);
    const later = await visit(address);
    await eventually(async () =>
      expect(await later.page.locator('#state').textContent()).toMatch(
        /^Finished after 7,500 steps.*from its directory/,
      ),
    );
    await draw(later.page, one);
    expect((await reads(later.page)).text).toBe('The model reads 1');
    expect(later.complaints).toEqual([]);
  });
});
