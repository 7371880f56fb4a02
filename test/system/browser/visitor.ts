import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';

const CHROMIUM = '/usr/bin/chromium-headless-shell';
/** Why tests in a browser cannot run; undefined if they can. */
export const missing = existsSync(CHROMIUM) ? undefined : `${CHROMIUM} is not installed`;
/** For test titles. */
export const why = missing === undefined ? '' : `: ${missing}`;

export function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM });
}

/** A visitor of the page, and everything that went wrong during the visit. */
export interface Visitor {
  readonly page: Page;
  /** Console errors and warnings, exceptions, policy violations and requests to other hosts. */
  readonly complaints: string[];
  close(): Promise<void>;
}

export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host)
      complaints.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  await page.locator('#state:not([data-state="connecting"])').waitFor();
  return { page, complaints, close: () => context.close() };
}

/** Fractions of the square's side, from the top left. */
export type Stroke = readonly (readonly [x: number, y: number])[];

/** A 1 as most people write it. */
export const one: readonly Stroke[] = [
  [
    [0.54, 0.15],
    [0.5, 0.5],
    [0.46, 0.85],
  ],
];

/** Draws with the mouse on the empty square. */
export async function draw(page: Page, strokes: readonly Stroke[]): Promise<void> {
  await page.locator('#clear').click();
  const pad = page.locator('#pad');
  await pad.scrollIntoViewIfNeeded();
  const box = await pad.boundingBox();
  if (box === null) throw new Error('the page has no square to draw on');
  for (const stroke of strokes) {
    for (const [index, [x, y]] of stroke.entries()) {
      await page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 3 });
      if (index === 0) await page.mouse.down();
    }
    await page.mouse.up();
  }
}

/**
 * Waits until the page shows the class that it reads. Returns that text and the shares in its bars.
 */
export async function reads(page: Page): Promise<{ text: string; shares: number[] }> {
  await page.locator('#probabilities .best').waitFor();
  const texts = await page.locator('#probabilities .number').allTextContents();
  return {
    text: (await page.locator('#answer').textContent()) ?? '',
    shares: texts.map((text) => parseFloat(text) / 100),
  };
}

/** The colour of an element's text. */
/** The text of the first element that matches. */
export function text(page: Page, selector: string): Promise<string | null> {
  return page.locator(selector).first().textContent();
}

export function colourOf(page: Page, selector: string): Promise<string> {
  return page
    .locator(selector)
    .evaluate((element) => element.ownerDocument.defaultView.getComputedStyle(element).color);
}

/** The width of the page's content, in CSS pixels. */
export function widthOf(page: Page): Promise<number> {
  return page.locator('html').evaluate((element) => element.scrollWidth);
}

/** A canvas's picture as text: different pictures give different texts. */
export function painted(page: Page, selector: string): Promise<string> {
  return page.locator(selector).evaluate((canvas) => canvas.toDataURL());
}

/** Repeats the check until it passes: the browser draws asynchronously. */
export async function eventually(check: () => Promise<void>): Promise<void> {
  await expect
    .poll(() => check().then(() => 'holds', String), { timeout: 20_000, interval: 30 })
    .toBe('holds');
}
