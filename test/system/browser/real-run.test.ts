import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { childOf } from '../../fixtures/processes/children.ts';
import { newRun, REFERENCE } from '../../fixtures/processes/options.ts';
import { start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { draw, eventually, missing, one, reads, startBrowser, visit, why } from './visitor.ts';

const RECIPE = [...REFERENCE, '--hidden', '32', '--batch-size', '64', '--seed', '7'];

describe.skipIf(missing !== undefined)(`the page of a real run in Chromium${why}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());

  it('shows a killed worker, survives a killed coordinator, and reads a 1 at the end', async () => {
    const runs = temporaryFolder();
    const options = ['-n', '2', '--http-port', '0', '--steps', '8000', '--checkpoint-every', '100'];
    const local = start(['local', ...newRun(runs), ...RECIPE, ...options]);
    const [, url = ''] = await local.says(/watch it at (http:\/\/\S+)/);
    const { page, complaints, close } = await visit(browser, url);
    onTestFinished(close);
    const text = async (selector: string) =>
      (await page.locator(selector).first().textContent()) ?? '';
    const step = async () => Number((await text('#step')).replaceAll(',', ''));
    await eventually(async () => expect(await step()).toBeGreaterThan(0));
    const first = await step();
    await eventually(async () => expect(await step()).toBeGreaterThan(first));
    expect(await text('#command')).toMatch(/^Started with mnist-dist local .* --steps 8000 /);
    expect(await text('#file-list')).toContain('Steps metrics.jsonl');
    await page.selectOption('#third', 'norm');
    await eventually(async () => expect(await text('#third-chart .key')).toMatch(/^\d+\.?\d*$/));

    const row = page.locator('#worker-rows tr').filter({ hasText: 'w1' });
    const state = async () => (await row.locator('.state').textContent()) ?? '';
    await eventually(async () => expect(await state()).toBe('training'));
    process.kill(childOf(local, 'w1'), 'SIGKILL');
    const colour = () =>
      row
        .locator('.state')
        .evaluate((cell) => cell.ownerDocument.defaultView.getComputedStyle(cell).color);
    // Vermilion, dark enough for text.
    await eventually(async () =>
      expect([await state(), await colour()]).toEqual(['lost', 'rgb(179, 71, 0)']),
    );
    await eventually(async () => expect(await state()).toBe('training'));
    expect(complaints).toEqual([]);

    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    const before = await step();
    await local.says(/resuming after step \d+ \(term 2\)/);
    await eventually(async () => expect(await step()).toBeGreaterThan(before));
    expect(await text('#event-list')).toMatch(/coordinator started \(term 2\)/);
    // Chromium itself logs errors while no process listens and while the run is being opened. No
    // other errors may occur.
    const isExpected = (complaint: string) => /net::ERR_|status of 503/.test(complaint);
    expect(complaints.filter((complaint) => !isExpected(complaint))).toEqual([]);
    complaints.length = 0;

    expect(await local.exited, local.output()).toBe(0);
    await eventually(async () => expect(await text('#state')).toMatch(/finished/i));
    expect(await page.locator('#matrix tbody tr').count()).toBe(10);
    expect(await page.locator('#mistake-list li').count()).toBeGreaterThan(0);
    await draw(page, one);
    const { text: answer, shares } = await reads(page);
    expect(answer).toBe('The model reads 1');
    expect(shares.indexOf(Math.max(...shares))).toBe(1);
    expect(complaints).toEqual([]);
  });

  it('looks the same when `show` serves it again', async () => {
    const runs = temporaryFolder();
    const options = ['-n', '1', '--no-http', '--steps', '600'];
    const local = start(['local', ...newRun(runs), ...RECIPE, ...options]);
    expect(await local.exited, local.output()).toBe(0);
    const shown = start(['show', `${runs}/r`, '--http-port', '0']);
    const [, url = ''] = await shown.says(/is at (http:\/\/\S+)/);
    const { page, complaints, close } = await visit(browser, url);
    onTestFinished(close);
    await eventually(async () => expect(await page.locator('#step').textContent()).toBe('600'));
    expect(await page.locator('#command').textContent()).toMatch(/local .* --steps 600$/);
    await eventually(async () =>
      expect(await page.locator('#file-list').textContent()).toContain('Model model.safetensors'),
    );
    expect(await page.locator('#matrix tbody tr').count()).toBe(10);
    await draw(page, one);
    expect((await reads(page)).text).toBe('The model reads 1');
    expect(complaints).toEqual([]);
  });
});
