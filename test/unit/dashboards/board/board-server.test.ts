import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readRecordedRun } from '../../../../cli/runs/run-overview.ts';
import { BoardServer, type BoardOptions } from '../../../../dashboards/board/board-server.ts';
import type { BoardView, MistakePairs } from '../../../../dashboards/board/api.ts';
import { MAX_BOARD_EVENTS_BYTES } from '../../../../shared/limits/board.ts';
import { ask } from '../../../fixtures/page-client.ts';
import { configuration, dataset, makeUp } from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const HOSTILE = '<img src=x onerror=alert(1)>\u202e';
let made: string;

beforeAll(async () => {
  made = temporaryFolder(afterAll);
  await makeUp({ runs: made, runId: 'one' });
  await makeUp({ runs: made, runId: 'two', configuration: { ...configuration, seed: 2 } });
});

/** A folder of its own with the two runs. */
function folderOfRuns(): string {
  const folder = join(temporaryFolder(), 'runs');
  cpSync(made, folder, { recursive: true });
  return folder;
}

async function open(folder: string, change: Partial<BoardOptions> = {}) {
  const defects: unknown[] = [];
  const server = await BoardServer.open({
    host: '127.0.0.1',
    port: 0,
    isPortFree: false,
    folder,
    readRun: readRecordedRun,
    loadDataset: () => Promise.resolve(dataset),
    onDefect: (error) => defects.push(error),
    ...change,
  });
  onTestFinished(async () => {
    await server.close();
    expect(defects).toEqual([]);
  });
  const get = async (path: string) => await ask(server.port, path);
  const json = async (path: string) => {
    const { status, body } = await get(path);
    return { status, value: status === 200 ? JSON.parse(body.toString()) : body.toString() };
  };
  const view = async (): Promise<BoardView> => (await json('/api/runs')).value;
  return { server, get, json, view };
}

const names = ({ runs }: BoardView) => runs.map(({ name }) => name).toSorted();
const reasons = ({ unlisted }: BoardView) =>
  Object.fromEntries(unlisted.map(({ name, reason }) => [name, reason]));

/** Waits for a look at the folder after `change`. */
async function eventually(check: () => Promise<void>): Promise<void> {
  await expect
    .poll(() => check().then(() => 'holds', String), { timeout: 20_000, interval: 100 })
    .toBe('holds');
}

describe('the board', () => {
  it('lists the runs of a folder, and only the settings that differ', async () => {
    const { view, json } = await open(folderOfRuns());
    const shown = await view();
    expect(names(shown)).toEqual(['one', 'two']);
    expect(shown.settings).toEqual(['seed']);
    const seeds = Object.fromEntries(shown.runs.map((run) => [run.name, run.settings]));
    expect(seeds).toEqual({ one: ['1'], two: ['2'] });
    const [run] = shown.runs;
    expect(run).toMatchObject({ state: 'finished', step: 12, steps: 12, model: '4 - 3 - 10' });
    const { value: curve } = await json('/api/runs/one/curve');
    expect(curve.step).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(curve.evaluations.map(([step]: number[]) => step)).toEqual([5, 10, 12]);
    const { value: evaluation } = await json('/api/runs/one/evaluation');
    expect(evaluation.confusion).toHaveLength(10);
  });

  it('shows a damaged, foreign, huge or linked run as such, and all others', async () => {
    const folder = folderOfRuns();
    const inFolder = (...parts: string[]) => join(folder, ...parts);
    for (const name of ['foreign', 'pipe', 'half', 'hole', 'sweep'])
      mkdirSync(inFolder(name), { recursive: true });
    writeFileSync(inFolder('foreign', 'readme.md'), 'x');
    writeFileSync(inFolder('sweep', 'sweep.json'), '{}');
    execFileSync('mkfifo', [inFolder('pipe', 'run.json')]);
    const record = readFileSync(inFolder('one', 'run.json'), 'utf8');
    writeFileSync(inFolder('half', 'run.json'), record.slice(0, 200));
    writeFileSync(inFolder('hole', 'run.json'), record);
    truncateSync(inFolder('hole', 'run.json'), 1024 ** 3);
    symlinkSync(made, inFolder('linked'));
    cpSync(inFolder('one'), inFolder('huge'), { recursive: true });
    truncateSync(inFolder('huge', 'events.jsonl'), MAX_BOARD_EVENTS_BYTES + 1);
    const { view, get } = await open(folder);
    const shown = await view();
    expect(names(shown)).toEqual(['one', 'two']);
    expect(reasons(shown)).toEqual({
      foreign: 'not a run: run.json is missing',
      half: expect.stringContaining('run.json is not JSON'),
      hole: expect.stringContaining('MAX_RUN_FILE_BYTES'),
      huge: expect.stringContaining('MAX_BOARD_EVENTS_BYTES'),
      linked: expect.stringContaining('it is a link'),
      pipe: expect.stringContaining('it is a pipe'),
      sweep: expect.stringMatching(/^a sweep; .* --runs-dir/),
    });
    for (const { name } of shown.unlisted)
      for (const path of [`/api/runs/${name}/curve`, `/runs/${name}/`])
        expect((await get(path)).status, path).toBe(404);
  });

  it('follows a run that grows, and one that vanishes', async () => {
    const folder = folderOfRuns();
    const { view, json } = await open(folder);
    const before = (await view()).runs.find(({ name }) => name === 'one');
    const metrics = join(folder, 'one', 'metrics.jsonl');
    const last = readFileSync(metrics, 'utf8').trimEnd().split('\n').at(-2) ?? '';
    appendFileSync(metrics, `${last.replace('"step":12', '"step":13')}\n`);
    renameSync(join(folder, 'two'), join(folder, 'three'));
    await eventually(async () => {
      const shown = await view();
      expect(names(shown)).toEqual(['one', 'three']);
      expect(shown.runs.find(({ name }) => name === 'one')?.curve).not.toBe(before?.curve);
    });
    expect((await json('/api/runs/one/curve')).value.step.at(-1)).toBe(13);
    expect((await json('/api/runs/two/curve')).status).toBe(404);
  });

  it('reads a run again only after its files have changed', async () => {
    const read: string[] = [];
    const folder = folderOfRuns();
    const { view } = await open(folder, {
      readRun: async (directory, name, now) => {
        read.push(name);
        return await readRecordedRun(directory, name, now);
      },
    });
    await view();
    rmSync(join(folder, 'two'), { recursive: true });
    // The folder is looked at again, after a while.
    await eventually(async () => expect(names(await view())).toEqual(['one']));
    expect(read.toSorted()).toEqual(['one', 'two']);
  });

  it('answers no path outside of its runs', async () => {
    const folder = folderOfRuns();
    writeFileSync(join(folder, '..', 'secret'), 'secret');
    writeFileSync(join(folder, 'secret'), 'secret');
    rmSync(join(folder, 'one', 'artifacts'), { recursive: true });
    symlinkSync(join(folder, '..'), join(folder, 'one', 'artifacts'));
    writeFileSync(join(folder, '..', 'report.html'), 'secret');
    writeFileSync(join(folder, '..', 'misclassified.jsonl'), '{}\n');
    const { get } = await open(folder);
    const up = [
      '..',
      '%2e%2e',
      '..%2f..',
      '%2e%2e%2f',
      '.',
      '',
      'secret',
      '%00',
      '%ff',
      'one%2f..',
    ];
    for (const name of up)
      for (const path of [
        `/runs/${name}/`,
        `/runs/${name}/files/artifacts/report.html`,
        `/runs/${name}/secret`,
        `/runs/one/${name}`,
        `/api/runs/${name}/curve`,
        `/api/runs/one/mistakes/${name}`,
      ])
        if (path !== '/runs/one/') expect([path, (await get(path)).status]).toEqual([path, 404]);
    for (const path of ['/runs/one/files/artifacts/report.html', '/api/runs/one/mistakes/two']) {
      const { status, body } = await get(path);
      expect([path, status]).toEqual([path, 500]);
      expect(body.toString()).toContain('it is a link, not a folder');
      expect(body.toString()).not.toContain('secret');
    }
  });

  it("serves a run's own page and its report, which cannot run scripts", async () => {
    const folder = folderOfRuns();
    rmSync(join(folder, 'two', 'artifacts'), { recursive: true });
    writeFileSync(join(folder, 'one', 'artifacts', 'report.html'), '<script>alert(1)</script>');
    const { get, json } = await open(folder);
    const page = await get('/runs/one/');
    expect(page.body.toString()).toContain('id="loss-chart"');
    expect((await json('/runs/one/api/run')).value).toMatchObject({ run: 'one', isLive: false });
    const weights = await get('/runs/one/api/weights');
    expect([weights.status, weights.headers['x-step']]).toEqual([200, '12']);
    const report = await get('/runs/one/files/artifacts/report.html');
    expect(report.status).toBe(200);
    const policy = report.headers['content-security-policy'];
    expect(policy).toMatch(/^sandbox; default-src 'none'/);
    expect(policy).not.toContain('script-src');
    expect((await get('/runs/two/files/artifacts/report.html')).status).toBe(404);
  });

  it('compares the mistakes of two runs', async () => {
    const folder = folderOfRuns();
    const line = (index: number, predicted: number) =>
      JSON.stringify({
        index,
        true: index % 10,
        predicted,
        probabilities: [0, 0.25, 0.75],
        loss: 1,
      });
    const write = (run: string, lines: string[]) =>
      writeFileSync(join(folder, run, 'artifacts', 'misclassified.jsonl'), lines.join('\n'));
    write('one', [line(3, 2), line(4, 1)]);
    write('two', [line(5, 1), line(3, 1), 'damaged', line(9_999, 1)]);
    const { json } = await open(folder);
    const pairs: MistakePairs = (await json('/api/runs/one/mistakes/two')).value;
    expect(pairs.problem).toBe('');
    expect(pairs.groups.map(({ count }) => count)).toEqual([1, 1, 2]);
    const [both, first] = pairs.groups;
    expect(both.shown[0]).toMatchObject({
      index: 3,
      true: 3,
      predicted: [
        { class: 2, confidence: 0.75 },
        { class: 1, confidence: 0.25 },
      ],
    });
    expect(both.shown[0]?.pixels).toBe(
      Buffer.from(dataset.test.images.slice(12, 16)).toString('base64'),
    );
    expect(first.shown[0]?.predicted[1]).toBeNull();
    const { value } = await json('/api/runs/one/mistakes/one');
    expect(value.groups[1].count).toBe(0);
  });

  it('needs its token, refuses other hosts, and allows reading only', async () => {
    const token = 'a-token-of-the-tests-0123456789';
    const { server, get } = await open(folderOfRuns(), { token });
    for (const path of ['/', '/api/runs', '/runs/one/', '/board/main.js'])
      expect((await get(path)).status, path).toBe(401);
    const headers = { authorization: `Bearer ${token}` };
    expect((await ask(server.port, '/api/runs', { headers })).status).toBe(200);
    const other = { headers: { ...headers, host: 'example.org' } };
    expect((await ask(server.port, '/api/runs', other)).status).toBe(421);
    expect((await ask(server.port, '/', { headers, method: 'POST' })).status).toBe(405);
    const { headers: policies } = await ask(server.port, '/', { headers });
    expect(policies['content-security-policy']).toContain("default-src 'none'");
  });

  it('replaces characters that cannot be seen, and keeps markup as text', async () => {
    const folder = folderOfRuns();
    renameSync(join(folder, 'two'), join(folder, HOSTILE));
    mkdirSync(join(folder, `a${HOSTILE}`));
    const { view, get } = await open(folder);
    const shown = await view();
    const text = HOSTILE.replace('\u202e', '\ufffd');
    expect(names(shown)).toEqual([text, 'one']);
    expect(Object.keys(reasons(shown))).toEqual([`a${text}`]);
    expect((await get('/api/runs')).headers['content-type']).toBe('application/json');
  });

  it('shows an empty board for a folder that does not exist', async () => {
    const { view } = await open(join(temporaryFolder(), 'none'));
    expect(await view()).toMatchObject({ runs: [], unlisted: [], pending: 0, omitted: 0 });
  });
});
