import { mkdirSync, renameSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Source } from '../../../../dashboards/feed/source.ts';
import { Listener } from '../../../../dashboards/server/listener.ts';
import { MAX_PAGE_FILE_BYTES } from '../../../../shared/limits/page.ts';
import { ask } from '../../../fixtures/page-client.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { sampleView } from './run-view.ts';

/** A listener for a run with these files, which has a secret next to it. */
async function serve(files: Readonly<Record<string, string>>) {
  const folder = temporaryFolder();
  const directory = join(folder, 'run');
  mkdirSync(join(directory, 'artifacts'), { recursive: true });
  writeFileSync(join(folder, 'secret'), 'secret');
  for (const [path, text] of Object.entries(files)) writeFileSync(join(directory, path), text);
  const source: Source = {
    isOpen: true,
    problem: undefined,
    directory,
    view: () => sampleView,
    turn: () => undefined,
    weights: () => undefined,
    scrape: () => Promise.resolve(undefined),
  };
  const listener = await Listener.open({
    host: '127.0.0.1',
    port: 0,
    isPortFree: false,
    source,
    onDefect: (error) => {
      throw error;
    },
  });
  onTestFinished(() => listener.close(0));
  const get = (path: string) => ask(listener.port, path);
  const list = async (): Promise<unknown> => JSON.parse((await get('/api/files')).body.toString());
  return { directory, folder, get, list };
}

it('a page lists the files that a run has, and serves them', async () => {
  const { get, list } = await serve({
    'run.json': '{"a":"<b>"}',
    'model.safetensors': 'weights',
    'artifacts/report.html': '<script>alert(1)</script>',
    join: 'a secret',
  });
  expect(await list()).toEqual([
    { path: 'artifacts/report.html', bytes: 25 },
    { path: 'model.safetensors', bytes: 7 },
    { path: 'run.json', bytes: 11 },
  ]);
  const record = await get('/files/run.json');
  expect([record.status, record.body.toString()]).toEqual([200, '{"a":"<b>"}']);
  expect(record.headers['content-type']).toMatch(/^text\/plain/);
  expect(record.headers['x-content-type-options']).toBe('nosniff');
  const report = await get('/files/artifacts/report.html');
  expect(report.headers['content-security-policy']).toMatch(/^sandbox; default-src 'none'/);
  const model = await get('/files/model.safetensors');
  expect(model.headers['content-disposition']).toBe('attachment; filename="model.safetensors"');
});

it('a page serves no other file', async () => {
  const { get } = await serve({ 'run.json': '{}', join: 'a secret' });
  for (const path of [
    'join',
    '../secret',
    '..%2fsecret',
    'artifacts/../join',
    'artifacts/../../secret',
    '/etc/passwd',
    '',
    'metrics.jsonl',
  ])
    expect((await get(`/files/${path}`)).status, path).toBe(404);
});

it('a page follows no link, and serves no file that is too large', async () => {
  const { directory, folder, get, list } = await serve({ 'metrics.jsonl': '' });
  symlinkSync(join(folder, 'secret'), join(directory, 'run.json'));
  truncateSync(join(directory, 'metrics.jsonl'), MAX_PAGE_FILE_BYTES + 1);
  expect(await list()).toEqual([]);
  for (const path of ['run.json', 'metrics.jsonl'])
    expect((await get(`/files/${path}`)).status, path).toBe(500);
  renameSync(join(directory, 'artifacts'), join(folder, 'elsewhere'));
  writeFileSync(join(folder, 'elsewhere', 'report.html'), 'secret');
  symlinkSync(join(folder, 'elsewhere'), join(directory, 'artifacts'));
  const report = await get('/files/artifacts/report.html');
  expect([report.status, report.body.includes('secret')]).toEqual([500, false]);
  expect((await get('/api/files')).status).toBe(500);
  expect((await get('/api/run')).status).toBe(200);
});
