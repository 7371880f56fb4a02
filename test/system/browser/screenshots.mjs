// Takes screenshots of the live page, or of the board:
// node test/system/browser/screenshots.mjs URL [FOLDER]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [url, folder = join('docs', 'images')] = process.argv.slice(2);
const looks = [
  { name: 'page-light', width: 1360, height: 900, colorScheme: 'light', deviceScaleFactor: 1 },
  { name: 'page-dark', width: 1360, height: 900, colorScheme: 'dark', deviceScaleFactor: 1 },
  {
    name: 'page-phone',
    width: 390,
    height: 1200,
    colorScheme: 'light',
    deviceScaleFactor: 2,
    hasTouch: true,
  },
];
const boardLook = { name: 'board-light', width: 1360, height: 900, colorScheme: 'light' };
/** A 2 in one stroke, in fractions of the square's side. */
const two = [
  [0.28, 0.32],
  [0.36, 0.2],
  [0.5, 0.15],
  [0.65, 0.2],
  [0.7, 0.34],
  [0.62, 0.5],
  [0.48, 0.64],
  [0.3, 0.82],
  [0.5, 0.8],
  [0.76, 0.8],
];

if (url === undefined) {
  process.stderr.write(
    'pass the address of the page: npm run screenshots -- http://127.0.0.1:9464\n',
  );
  process.exitCode = 2;
} else {
  mkdirSync(folder, { recursive: true });
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium-headless-shell' });
  const isBoard = (await fetch(new URL('/api/runs', url))).ok;
  if (isBoard) await takeBoard(browser, boardLook);
  else for (const look of looks) await take(browser, look);
  await browser.close();
}

async function take(browser, { name, width, height, ...rest }) {
  const page = await browser.newPage({ viewport: { width, height }, ...rest });
  await page.goto(url);
  await page.waitForSelector('#state:not([data-state="connecting"])');
  await draw(page);
  // On a phone, a picture of the whole page would be too long.
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: width > 400 });
  await page.close();
}

async function takeBoard(browser, { name, width, height, ...rest }) {
  const page = await browser.newPage({ viewport: { width, height }, ...rest });
  await page.goto(url);
  await page.waitForSelector('#pairs section');
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}

async function draw(page) {
  const pad = page.locator('#pad');
  await pad.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await pad.boundingBox();
  for (const [index, [right, down]] of two.entries()) {
    await page.mouse.move(x + right * width, y + down * height, { steps: 4 });
    if (index === 0) await page.mouse.down();
  }
  await page.mouse.up();
  await page.waitForSelector('#probabilities .best');
  await page.mouse.move(0, 0);
  await page.evaluate('window.scrollTo(0, 0)');
}
