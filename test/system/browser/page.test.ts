import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RunView, Status } from '../../../dashboards/feed/api.ts';
import { contrasts } from './contrast.ts';
import { at, evaluation, nearestMean, points, status, unix, view, worker } from './fake-run.ts';
import { standIn } from './fake-server.ts';
import * as visitor from './visitor.ts';

const { draw, eventually, missing, one, painted, reads, text, widthOf } = visitor;
const RED = 'rgb(179, 71, 0)';
const HOSTILE = '<img src=x onerror=alert(1)>';

describe.skipIf(missing !== undefined)(`the live page in Chromium${visitor.why}`, () => {
  let browser: Browser;
  const open: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    browser = await visitor.startBrowser();
  });
  afterAll(() => browser.close());
  afterEach(async () => {
    for (const close of open.splice(0).toReversed()) await close();
  });

  async function start(run: RunView, options?: Parameters<typeof visitor.visit>[2]) {
    const server = await standIn(run);
    server.weights = { step: 300, values: nearestMean() };
    open.push(() => server.close());
    const visit = await visitor.visit(browser, server.url, options);
    open.push(() => visit.close());
    if (run.isLive && run.status.state === 'running')
      await eventually(async () => expect(server.streams()).toBe(1));
    return { server, ...visit };
  }

  test('redraws its curves and numbers as updates arrive', async () => {
    const { server, page, complaints } = await start(view(200));
    await eventually(async () => expect(await text(page, '#step')).toBe('200'));
    const charts = ['#loss-chart canvas', '#accuracy-chart canvas', '#speed-plot canvas'];
    const before = await Promise.all(charts.map((chart) => painted(page, chart)));
    server.send({ curve: points(201, 900), status: status({ step: 900, seconds: 9 }) });
    await eventually(async () => expect(await text(page, '#step')).toBe('900'));
    for (const [index, chart] of charts.entries())
      await eventually(async () =>
        expect(await painted(page, chart), chart).not.toBe(before[index]),
      );
    expect(await text(page, '#accuracy-name')).toBe('Training accuracy');
    server.send({ evaluation: evaluation(1875), evaluated: view(1875).evaluated ?? never() });
    await eventually(async () => expect(await text(page, '#accuracy')).toBe('93.68 %'));
    expect(await page.locator('#matrix tbody tr').count()).toBe(10);
    expect(await page.locator('#mistake-list li').count()).toBe(24);
    expect(await page.locator('#loss-chart .plot').getAttribute('aria-label')).toContain(
      'test 0.1556',
    );
    expect(complaints).toEqual([]);
  });

  test('shows a lost worker in red, crossed out and marked as lost, until it is back', async () => {
    const { server, page, complaints } = await start(view(200));
    const row = '#worker-rows tr:nth-child(2)';
    const colour = () => visitor.colourOf(page, `${row} .state`);
    const say = (state: 'lost' | 'training', seconds: number, lost: number) =>
      server.send({
        status: status({
          step: 200,
          seconds,
          lost,
          workers: [worker('w0'), worker('w1', { state })],
        }),
        changes: [{ at: unix(seconds), worker: 'w1', state }],
        events: [{ time: at(seconds), event: state, level: 'warn', message: `w1 is ${state}` }],
      });
    expect([await colour(), await text(page, `${row} .state`)]).toEqual([
      'rgb(25, 27, 31)',
      'training',
    ]);
    say('lost', 4, 1);
    await eventually(async () => expect(await colour()).toBe(RED));
    expect(await text(page, `${row} .state`)).toBe('lost');
    expect(await text(page, '#event-list li')).toContain('w1 is lost');
    say('training', 8, 1);
    await eventually(async () => expect(await colour()).toBe('rgb(25, 27, 31)'));
    const timeline = page.locator(`${row} canvas`);
    // The next update begins a new segment of the timeline.
    server.send({ status: status({ step: 201, seconds: 9, lost: 1 }) });
    await eventually(async () =>
      expect(await timeline.getAttribute('aria-label')).toMatch(
        /training from .*, lost from .*, training from /,
      ),
    );
    expect(await text(page, '#speed-aside')).toBe('2 workers, 1 lost so far');
    expect(complaints).toEqual([]);
  });

  test('zooms all curves by dragging and by keys, also while updates arrive', async () => {
    const { server, page, complaints } = await start(view(1000));
    const note = () => page.locator('#zoom-note').textContent();
    const charts = ['#loss-chart canvas', '#accuracy-chart canvas', '#speed-plot canvas'];
    await page.locator(charts[2] ?? '').waitFor();
    const before = await Promise.all(charts.map((chart) => painted(page, chart)));
    await page.locator('#loss-chart .u-over').scrollIntoViewIfNeeded();
    const box = await page.locator('#loss-chart .u-over').boundingBox();
    if (box === null) throw new Error('there is no chart');
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width * 0.2, y);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.4, y, { steps: 4 });
    await page.mouse.up();
    await eventually(async () => expect(await note()).toMatch(/^Steps (199|200|201) to /));
    for (const [index, chart] of charts.entries())
      expect(await painted(page, chart), chart).not.toBe(before[index]);
    const chosen = await note();
    server.send({ curve: points(1001, 1500), status: status({ step: 1500, seconds: 9 }) });
    await eventually(async () => expect(await text(page, '#step')).toBe('1,500'));
    expect(await note()).toBe(chosen);
    await page.mouse.dblclick(box.x + box.width / 2, y);
    await eventually(async () => expect(await note()).toBe(''));
    await page.mouse.move(0, 0);
    await page.locator('#accuracy-chart .plot').press('+');
    await eventually(async () => expect(await note()).toMatch(/^Steps \d/));
    await page.locator('#zoom-reset').press('Enter');
    await eventually(async () => expect(await note()).toBe(''));
    expect(complaints).toEqual([]);
  });

  test('shows names, events and settings as text, never markup', async () => {
    const hostile = view(200, {
      run: HOSTILE,
      version: HOSTILE,
      configuration: [[HOSTILE, HOSTILE]],
      classNames: [HOSTILE, '</td><script>alert(2)</script>', '2', '3'],
      evaluated: { ...(view(1875).evaluated ?? never()) },
      status: status({ step: 200, workers: [worker(HOSTILE, { engine: HOSTILE })] }),
      events: [{ time: HOSTILE, event: HOSTILE, level: 'warn', message: HOSTILE }],
      changes: [{ at: unix(2), worker: HOSTILE, state: 'training' }],
    });
    const { server, page, complaints } = await start(hostile);
    await draw(page, one);
    await reads(page);
    server.send({ status: { ...hostile.status, state: 'failed', message: HOSTILE, seconds: 50 } });
    await eventually(async () => expect(await text(page, '#state')).toContain(HOSTILE));
    expect(await text(page, '#worker-rows .name')).toBe(HOSTILE);
    expect(await text(page, '#worker-rows .engine')).toBe(HOSTILE);
    expect(await text(page, '#event-list .message')).toBe(HOSTILE);
    expect(await text(page, '#settings dd')).toBe(HOSTILE);
    expect(await text(page, '#run-id')).toBe(HOSTILE);
    expect(await text(page, '#matrix tbody th')).toBe(`0 ${HOSTILE}`);
    expect(await page.locator('body img, body script').count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  test('does not run injected markup: its policy blocks and reports the markup', async () => {
    const { page, complaints } = await start(view(200));
    const tried = await page.locator('body').evaluate((body, markup) => {
      try {
        body.innerHTML = markup;
        return 'taken';
      } catch {
        return 'refused';
      }
    }, HOSTILE);
    expect(tried).toBe('refused');
    expect(complaints.join()).toContain('Trusted');
  });

  test('reads a drawn 1; only drawing requests weights, at most once a second', async () => {
    const { server, page, complaints } = await start(view(200));
    const asked = () => server.requests.filter(({ path }) => path === '/api/weights');
    server.send({ status: status({ step: 201, seconds: 5 }) });
    await eventually(async () => expect(await text(page, '#step')).toBe('201'));
    expect(asked()).toEqual([]);
    const place = () =>
      page
        .locator('#pad')
        .evaluate((pad) => pad.getBoundingClientRect().y + pad.ownerDocument.defaultView.scrollY);
    const before = await place();
    await draw(page, one);
    const { text: answer, shares } = await reads(page);
    expect(await place(), 'the paper stays where it is while a user draws').toBe(before);
    expect(answer).toBe('The model reads 1');
    expect(shares.indexOf(Math.max(...shares))).toBe(1);
    expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 1);
    for (let n = 0; n < 6; n++) await draw(page, one);
    const times = asked().map(({ at }) => at);
    for (const [index, time] of times.slice(1).entries())
      expect(time - (times[index] ?? 0)).toBeGreaterThan(900);
    await page.locator('#clear').click();
    expect([
      await text(page, '#answer'),
      await page.locator('#probabilities .best').count(),
    ]).toEqual(['Draw in the square.', 0]);
    expect(complaints).toEqual([]);
  });

  test('still reads digits after the process has ended, with the final weights', async () => {
    const { server, page, complaints } = await start(view(200));
    server.weights = { step: 9375, values: nearestMean() };
    server.send({ status: status({ state: 'finished', step: 9375, seconds: 20, message: '' }) });
    await eventually(async () =>
      expect(await text(page, '#state')).toBe('Finished after 9,375 steps'),
    );
    await eventually(async () => expect(server.requests.at(-1)?.path).toBe('/api/weights'));
    await eventually(async () => expect(server.streams()).toBe(0));
    await page.waitForLoadState('networkidle');
    await server.close();
    await draw(page, one);
    expect((await reads(page)).text).toBe('The model reads 1');
    expect(await text(page, '#draw-note')).toContain('step 9,375');
    expect(complaints).toEqual([]);
  });

  test('keeps its data while the coordinator is down, and continues without a reload', async () => {
    const { server, page, complaints } = await start(view(600));
    const requests = server.requests.length;
    const curve = await painted(page, '#loss-chart canvas');
    const restarted = { ...view(500), term: 2 };
    server.view = undefined;
    server.breakStreams();
    await eventually(async () => expect(await text(page, '#state')).toContain('Connection lost'));
    expect(await painted(page, '#loss-chart canvas')).toBe(curve);
    expect(await visitor.colourOf(page, '#state')).toBe(RED);
    server.view = restarted;
    await eventually(async () => expect(await text(page, '#state')).toBe('Running'));
    await eventually(async () => expect(server.streams()).toBe(1));
    server.send({ curve: points(501, 700), status: status({ step: 700, seconds: 30 }) });
    await eventually(async () => expect(await text(page, '#step')).toBe('700'));
    expect(await page.locator('#loss-chart .plot').getAttribute('aria-label')).toContain(
      'over 700 steps',
    );
    expect(server.requests.slice(requests).map(({ path }) => path)).not.toContain('/');
    // The browser itself logs an error for each request that no server answers.
    expect(
      complaints.filter((text) => !/ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED/.test(text)),
    ).toEqual([]);
  });

  test.each([
    ['gathering', true, /^Waiting for workers: 0 of 2 ready, 1 preparing$/],
    ['interrupted', true, /^Interrupted after 200 steps: Ctrl-C$/],
    ['diverged', true, /^Diverged after 200 steps: Ctrl-C$/],
    ['finished', false, /^Finished after 200 steps: Ctrl-C \(shown from its directory\)$/],
  ] as const)('says that a run is %s (live: %s)', async (state, isLive, expected) => {
    const isOpen = state === 'gathering';
    const change: Partial<Status> = isOpen
      ? { waiting: 'waiting for workers: 0 of 2 ready, 1 preparing', secondsLeft: undefined }
      : { step: 200, message: 'Ctrl-C' };
    const { server, page, complaints } = await start(
      view(isOpen ? 0 : 200, { isLive, status: status({ state, ...change }) }),
    );
    await eventually(async () => expect(await text(page, '#state')).toMatch(expected));
    if (!isOpen) expect(server.requests.map(({ path }) => path)).not.toContain('/api/stream');
    expect(complaints).toEqual([]);
  });

  test('hides the rate and unknown counts while waiting, and shows problems in red', async () => {
    const { server, page, complaints } = await start(view(600));
    const waiting = {
      state: 'gathering',
      waiting: 'waiting for workers: 0 of 1 ready',
      step: 600,
    } as const;
    server.send({ status: status({ ...waiting, secondsLeft: undefined, seconds: 20 }) });
    await eventually(async () => expect(await text(page, '#time')).toBe('–'));
    expect(await text(page, '#speed')).toBe('–');
    const problem = 'the disk is full';
    server.send({
      status: status({
        problem,
        step: 600,
        seconds: 21,
        reassigned: undefined,
        stragglerSteps: undefined,
      }),
    });
    await eventually(async () =>
      expect(await text(page, '#state')).toBe('Running, but the disk is full'),
    );
    expect(await visitor.colourOf(page, '#state')).toBe(RED);
    expect(await text(page, '#workers-note')).toBe('2 joined · 0 lost');
    expect(complaints).toEqual([]);
  });

  test('can be used with the keyboard alone', async () => {
    const { page, complaints } = await start(view(1900));
    const reached = new Set<string>();
    for (let n = 0; n < 60 && !reached.has('event-list'); n++) {
      await page.keyboard.press('Tab');
      const name = await page
        .locator(':focus')
        .evaluate((element) => element.closest('[id]')?.id ?? element.tagName);
      reached.add(name);
      const outline = await page
        .locator(':focus')
        .evaluate(
          (element) => element.ownerDocument.defaultView.getComputedStyle(element).outlineStyle,
        );
      expect(outline, name).toBe('solid');
    }
    for (const name of [
      'loss-scale',
      'loss-chart',
      'accuracy-chart',
      'third',
      'speed-plot',
      'pad',
      'clear',
      'mistake-list',
      'event-list',
    ])
      expect([...reached], name).toContain(name);
    await page.locator('#loss-scale').focus();
    await page.keyboard.press('Enter');
    expect(await page.locator('#loss-scale').getAttribute('aria-pressed')).toBe('false');
    await page.locator('#loss-chart .plot').focus();
    await page.keyboard.press('Home');
    expect(await text(page, '#accuracy-chart .key')).toContain('step 1');
    expect(await text(page, '#third-chart .key')).toContain('step 1');
    await page.locator('#pad').focus();
    await page.keyboard.press('Space');
    for (let n = 0; n < 16; n++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    expect((await reads(page)).text).toBe('The model reads 1');
    await page.keyboard.press('Delete');
    await page.locator('#mistake-list button').first().focus();
    await page.keyboard.press('Enter');
    await reads(page);
    expect(complaints).toEqual([]);
  });

  test('fits a phone screen without scrolling sideways or moving during a drawing', async () => {
    const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
    const workers = [
      worker('w0'),
      worker('a-very-long-name-of-a-worker-that-goes-on-and-on.example.org', { state: 'lost' }),
    ];
    const { page, complaints } = await start(
      view(1900, { status: status({ step: 1900, workers }) }),
      phone,
    );
    await eventually(async () => expect(await page.locator('#mistake-list li').count()).toBe(24));
    expect(await widthOf(page)).toBe(390);
    expect(
      await page
        .locator('#pad')
        .evaluate((pad) => pad.ownerDocument.defaultView.getComputedStyle(pad).touchAction),
    ).toBe('none');
    await draw(page, one);
    await reads(page);
    expect(complaints).toEqual([]);
  });

  test('lists workers by name, and at the end shows which of them were lost', async () => {
    const workers = [
      worker('w10'),
      worker('w2', { state: 'lost' }),
      worker('w1', { state: 'idle' }),
    ];
    const { server, page, complaints } = await start(
      view(200, { status: status({ step: 200, workers }) }),
    );
    const rows = () =>
      page.locator('#worker-rows tr').evaluateAll((all) => all.map((row) => row.dataset.state));
    await eventually(async () => expect(await rows()).toEqual(['idle', 'lost', 'training']));
    const ended = workers.map((row) =>
      row.state === 'lost' ? row : { ...row, state: 'done' as const },
    );
    server.send({ status: status({ state: 'finished', step: 200, seconds: 60, workers: ended }) });
    await eventually(async () => expect(await rows()).toEqual(['done', 'lost', 'done']));
    expect(await page.locator('#worker-rows .name').allTextContents()).toEqual(['w1', 'w2', 'w10']);
    expect(await text(page, '#speed-aside')).toBe('3 workers');
    expect(complaints).toEqual([]);
  });

  test('distinguishes mistakes without stored pictures from the absence of mistakes', async () => {
    const evaluated = view(1900).evaluated ?? never();
    const { server, page, complaints } = await start(
      view(1900, { evaluated: { ...evaluated, mistakes: [] } }),
    );
    const note = () => text(page, '#mistakes-note');
    await eventually(async () =>
      expect(await note()).toBe('No pictures are stored for the evaluation after step 1,875.'),
    );
    const perfect = evaluated.confusion.map((row, i) => row.map((cell, j) => (i === j ? cell : 0)));
    server.send({ evaluated: { set: 'test', step: 3750, confusion: perfect, mistakes: [] } });
    await eventually(async () => expect(await note()).toBe('No mistakes after step 3,750.'));
    expect(complaints).toEqual([]);
  });

  test.each(['light', 'dark'] as const)(
    'has enough contrast in the %s colour scheme',
    async (colorScheme) => {
      const workers = [
        worker('w0'),
        worker('w1', { state: 'lost' }),
        worker('w2', { state: 'late' }),
      ];
      const { page, complaints } = await start(
        view(1900, {
          status: status({ step: 1900, workers, state: 'failed', message: 'why' }),
          events: [{ time: at(1), event: 'lost', level: 'warn', message: 'w1 is lost' }],
        }),
        { colorScheme },
      );
      await eventually(async () => expect(await page.locator('#matrix .right').count()).toBe(11));
      const found = await contrasts(page);
      expect(found.length).toBeGreaterThan(200);
      // WCAG 2 requires 4.5 for text at level AA.
      expect(found.filter(({ contrast }) => contrast < 4.5)).toEqual([]);
      expect(complaints).toEqual([]);
    },
  );

  test.each([390, 720, 900, 1279, 1280, 1600])(
    'does not cut off any content at a width of %d',
    async (width) => {
      const { page, complaints } = await start(view(1900), { viewport: { width, height: 900 } });
      await eventually(async () => expect(await page.locator('#matrix .right').count()).toBe(11));
      expect(await widthOf(page)).toBe(width);
      const cut = await page
        .locator('#matrix')
        .evaluate((box) => box.scrollWidth - box.clientWidth);
      expect(cut).toBe(0);
      expect(complaints).toEqual([]);
    },
  );

  test("follows the visitor's colour scheme, including in its charts", async () => {
    const { page, complaints } = await start(view(300), { colorScheme: 'light' });
    const light = [
      await painted(page, '#loss-chart canvas'),
      await painted(page, 'tr:first-child .timeline'),
    ];
    await page.emulateMedia({ colorScheme: 'dark' });
    await eventually(async () => {
      const dark = [
        await painted(page, '#loss-chart canvas'),
        await painted(page, 'tr:first-child .timeline'),
      ];
      expect(dark[0] !== light[0] && dark[1] !== light[1]).toBe(true);
    });
    expect(await visitor.colourOf(page, 'body')).toBe('rgb(232, 234, 237)');
    await page.emulateMedia({ colorScheme: 'light' });
    await eventually(async () => expect(await painted(page, '#loss-chart canvas')).toBe(light[0]));
    expect(complaints).toEqual([]);
  });

  test('stays responsive with a curve of 200,000 steps', async () => {
    const { server, page, complaints } = await start(
      view(2000, { totalSteps: 300_000, epochs: 160 }),
    );
    for (let step = 2000; step < 200_000; step += 2000)
      server.send({
        curve: points(step + 1, step + 2000),
        status: status({ step: step + 2000, seconds: step }),
      });
    await eventually(async () => expect(await text(page, '#step')).toBe('200,000'));
    const frames = await page.locator('html').evaluate(
      (html) =>
        new Promise<number>((resolve) => {
          const { requestAnimationFrame, performance } = html.ownerDocument.defaultView;
          const started: number = performance.now();
          let count = 0;
          const next = () =>
            ++count === 20
              ? resolve((performance.now() - started) / count)
              : requestAnimationFrame(next);
          requestAnimationFrame(next);
        }),
    );
    // This does not measure speed. It checks that the page draws twenty frames, so it is not stuck.
    expect(frames).toBeGreaterThan(0);
    await draw(page, one);
    await reads(page);
    expect(await page.locator('#loss-chart .plot').getAttribute('aria-label')).toContain(
      'over 200,000 steps',
    );
    expect(complaints).toEqual([]);
  });
});

function never(): never {
  throw new Error('the fake run lacks a field');
}
