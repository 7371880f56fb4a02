// Measures the board in Chromium: node test/system/browser/measure-board.mjs [RUNS] [STEPS]
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [runs = 50, steps = 10_000] = process.argv.slice(2).map(Number);
const CURVES = 10;
const REPEATS = 5;
const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-board-'));
for (let seed = 1; seed <= runs; seed++) writeRun(seed);
const program = ['bin/mnist-dist.mjs', 'board', '--runs-dir', folder, '--http-port', '0'];
const board = spawn(process.execPath, program, { stdio: ['ignore', 'pipe', 'inherit'] });
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium-headless-shell' });
try {
  const url = await addressOf(board);
  const first = await shownAfter(url);
  const later = [];
  for (let i = 0; i < REPEATS; i++) later.push(await shownAfter(url));
  const { idle, frames } = await framesWhileZooming(url);
  process.stdout.write(
    `${runs} runs of ${steps} steps\n` +
      `all rows and the first curves are drawn, first visit: ${first.toFixed(0)} ms\n` +
      `the same, ${REPEATS} more visits: ${later.map((each) => each.toFixed(0)).join(', ')} ms\n` +
      `${CURVES} curves, zooming: ${textOf(frames)}\n` +
      `the same page, idle: ${textOf(idle)}\n`,
  );
} finally {
  await browser.close();
  board.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** The distribution of the times between frames. */
function textOf(frames) {
  const sorted = frames.toSorted((a, b) => a - b);
  const at = (share) => `${sorted[Math.floor((sorted.length - 1) * share)].toFixed(1)} ms`;
  const short = (frames.filter((each) => each < 50).length / frames.length) * 100;
  return (
    `${frames.length} frames, median ${at(0.5)}, 95 % ${at(0.95)}, longest ${at(1)}; ` +
    `${short.toFixed(1)} % take under 50 ms`
  );
}

function addressOf(child) {
  return new Promise((resolve) => {
    child.stdout.on('data', (text) => {
      const [, url] = /are at (http:\S+)/.exec(String(text)) ?? [];
      if (url !== undefined) resolve(url);
    });
  });
}

/**
 * Opens the page; resolves once it has drawn all rows and `curves` curves. `milliseconds` is the
 * time from the beginning of the navigation until the frame that shows them.
 */
async function opened(url, curves) {
  const page = await browser.newPage({ viewport: { width: 1360, height: 900 } });
  await page.addInitScript(`
    const look = () => {
      const all = (selector) => [...document.querySelectorAll(selector)];
      const values = all('#legend-rows td:nth-child(3)').filter((cell) => cell.textContent !== '–');
      if (all('#run-rows tr').length === ${runs} && values.length === ${curves} &&
          all('.plot canvas').length === 3)
        requestAnimationFrame((now) => { window.shownAt = now; });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  `);
  await page.goto(url);
  for (;;) {
    const milliseconds = await page.evaluate('window.shownAt');
    if (milliseconds !== undefined) return { page, milliseconds };
    await page.waitForTimeout(20);
  }
}

async function shownAfter(url) {
  const { page, milliseconds } = await opened(url, 4);
  await page.close();
  return milliseconds;
}

/** The times between frames while ranges are dragged, chosen and left again. */
async function framesWhileZooming(url) {
  const names = Array.from({ length: CURVES }, (_, index) => `run=run-${index + 1}`).join('&');
  const { page } = await opened(`${url}#${names}`, CURVES);
  await page.waitForTimeout(500);
  await page.evaluate(`
    window.frames_ = [];
    let last = performance.now();
    const tick = (now) => {
      window.frames_.push(now - last);
      last = now;
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  `);
  // What this machine delivers at the moment, without the charts.
  await page.waitForTimeout(2000);
  const idle = await page.evaluate('window.frames_.splice(0).slice(1)');
  const box = await page.locator('#loss-plot .u-over').boundingBox();
  for (let i = 0; i < 8; i++) {
    const [left, right] = [0.1 + 0.05 * i, 0.5 + 0.05 * i];
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + left * box.width, y);
    await page.mouse.down();
    await page.mouse.move(box.x + right * box.width, y, { steps: 20 });
    await page.mouse.up();
    for (const key of ['+', '+', '-', '-']) await page.locator('#loss-plot').press(key);
    await page.mouse.dblclick(box.x + box.width / 2, y);
    await page.waitForTimeout(50);
  }
  const frames = await page.evaluate('window.frames_');
  await page.close();
  return { idle, frames };
}

function writeRun(seed) {
  const directory = join(folder, `run-${seed}`);
  mkdirSync(directory);
  const digest = 'b2d8f5bf39174ee5ffeefa97e42d673c35432b411bb5d1f74fbbeddae7f1690a';
  const started = new Date(Date.UTC(2026, 0, 1) + seed * 60_000).toISOString();
  const confusion = Array.from({ length: 10 }, (_, row) =>
    Array.from({ length: 10 }, (_, column) => (row === column ? 970 : (row + column + seed) % 7)),
  );
  const record = {
    format: 1,
    arithmetic: 2,
    version: '0.2.0',
    run: `run-${seed}`,
    state: 'finished',
    term: 1,
    started,
    configuration: {
      dataset: digest,
      model: {
        rows: 28,
        columns: 28,
        layers: [
          { kind: 'flatten' },
          { kind: 'dense', units: 32 * (1 + (seed % 4)), activation: 'relu' },
        ],
        classes: 10,
      },
      batch_size: 32,
      virtual_shards: 4,
      optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      learning_rate: 0.001 * (1 + (seed % 5)),
      schedule: { kind: 'constant' },
      warmup: 0,
      weight_decay: 0,
      seed,
      epochs: 6,
      steps,
      train_samples: 60_000,
      test_samples: 10_000,
    },
    launch: {},
    dataset: {
      sha256: digest,
      name: 'MNIST',
      rows: 28,
      columns: 28,
      train_samples: 60_000,
      test_samples: 10_000,
      class_names: Array.from({ length: 10 }, (_, digit) => String(digit)),
    },
    step: steps,
    chain: '0'.repeat(64),
    weights: '0'.repeat(16),
    workers: [{ name: 'w0', samples: 32 * steps }],
    result: {
      test: { loss: 0.07, accuracy: 0.97 + seed / 10_000, confusion },
      steps_per_second: 900,
    },
  };
  writeFileSync(join(directory, 'run.json'), JSON.stringify(record, undefined, 2));
  const event = (elapsed, fields) => JSON.stringify({ time: started, elapsed, ...fields });
  const events = [
    event(0, { event: 'start', term: 1, step: 0 }),
    event(1, { event: 'first_shard', worker: 'w0' }),
    ...Array.from({ length: 6 }, (_, epoch) =>
      event(2 + epoch, {
        event: 'evaluation',
        set: 'test',
        step: 1875 * (epoch + 1),
        samples: 10_000,
        correct: 9700,
        loss: 0.1,
        confusion,
      }),
    ),
  ];
  writeFileSync(join(directory, 'events.jsonl'), `${events.join('\n')}\n`);
  writeFileSync(join(directory, 'metrics.jsonl'), metricsOf(seed));
}

function metricsOf(seed) {
  const lines = [];
  for (let step = 1; step <= steps; step++) {
    const noise = Math.sin(step * 12.9898 + seed * 78.233) * 43758.5453;
    const wobble = noise - Math.floor(noise) - 0.5;
    const loss = (0.05 + (2.2 + seed / 100) / (1 + step / 40)) * Math.exp(wobble);
    const correct = Math.round(32 * Math.min(1, Math.max(0.05, 1 - loss * 0.3)));
    lines.push(
      `{"kind":"step","step":${step},"epoch":${Math.ceil(step / 1875)},"samples":32` +
        `,"loss":${loss},"correct":${correct},"milliseconds":${(1.1 + wobble).toFixed(3)}` +
        `,"learning_rate":0.001,"weights":"${'0'.repeat(16)}","chain":"${'0'.repeat(64)}","digest":"${'0'.repeat(16)}"}`,
    );
    if (step % 1875 === 0)
      lines.push(
        `{"kind":"evaluation","set":"test","step":${step},"epoch":${step / 1875},"samples":10000` +
          `,"loss":${0.05 + 0.3 / (step / 1000)},"correct":9700,"digest":"${'0'.repeat(16)}"}`,
      );
  }
  return `${lines.join('\n')}\n`;
}
