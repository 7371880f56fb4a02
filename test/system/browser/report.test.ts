import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { artifactsOf } from '../../../artifacts/report/artifacts.ts';
import { fileOf } from '../../fixtures/artifact-files.ts';
import { hostile, madeUpEvaluation, madeUpMetrics } from '../../fixtures/evaluation.ts';
import { contrasts } from './contrast.ts';
import { missing, startBrowser, why } from './visitor.ts';

describe.skipIf(missing !== undefined)(`the report in Chromium${why}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-report-'));
  let browser: Browser;

  beforeAll(async () => {
    browser = await startBrowser();
    const { evaluation } = madeUpEvaluation(hostile, { metrics: madeUpMetrics(3, 50) });
    writeFileSync(
      join(folder, 'report.html'),
      fileOf(await artifactsOf(evaluation), 'report.html'),
    );
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  /**
   * Opens the page and examines it with `look`. Returns the errors and requests during that time.
   */
  async function open(
    options: BrowserContextOptions,
    look: (page: Page) => Promise<void>,
  ): Promise<string[]> {
    const context = await browser.newContext({
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    const page = await context.newPage();
    const seen: string[] = [];
    page.on('console', (message) => seen.push(message.text()));
    page.on('pageerror', (error) => seen.push(String(error)));
    page.on('dialog', (dialog) => {
      seen.push(dialog.message());
      void dialog.dismiss();
    });
    page.on('request', (request) => seen.push(request.url().slice(0, 30)));
    const url = pathToFileURL(join(folder, 'report.html')).href;
    await page.goto(url);
    await look(page);
    await context.close();
    return seen.filter(
      (each) => each !== url.slice(0, 30) && !each.startsWith('data:image/png;base64,'),
    );
  }

  test.each(['light', 'dark'] as const)(
    'is complete and readable in the %s colour scheme',
    async (colorScheme) => {
      const complaints = await open({ colorScheme }, async (page) => {
        expect(await page.locator('svg[role=img]').count()).toBe(3);
        const widths: number[] = await page.evaluate(
          '[...document.images].map((image) => image.naturalWidth)',
        );
        expect(widths.length).toBeGreaterThan(10);
        expect(new Set(widths)).toEqual(new Set([5]));
        expect(await page.locator('tbody th').allTextContents()).toContain(hostile[0]);
        for (const { text, contrast } of await contrasts(page))
          expect(contrast, text).toBeGreaterThan(4.5);
        const fills: string[] = await page.evaluate(
          '[...document.querySelectorAll("svg text, svg .mark-rect path")]' +
            '.map((each) => getComputedStyle(each).fill)',
        );
        // A fill is black if it refers to a colour that the page does not define.
        expect(fills.filter((fill) => fill === 'rgb(0, 0, 0)')).toEqual([]);
        const ink = colorScheme === 'dark' ? 'rgb(232, 234, 237)' : 'rgb(25, 27, 31)';
        expect(fills).toContain(ink);
      });
      expect(complaints).toEqual([]);
    },
  );

  test('fits a phone screen, and prints on a white background', async () => {
    await open({ viewport: { width: 390, height: 800 }, colorScheme: 'dark' }, async (page) => {
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
      await page.emulateMedia({ media: 'print' });
      await page.setViewportSize({ width: 718, height: 1000 });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(718);
      expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).toBe(
        'rgb(255, 255, 255)',
      );
      expect(await page.evaluate('getComputedStyle(document.images[0]).filter')).toBe('none');
    });
  });
});
