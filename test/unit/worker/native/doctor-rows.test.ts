import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { tryWasm } from '../../../../worker/engines/wasm.ts';
import {
  canTrain,
  doctorRows,
  judgeEngines,
  nodeRow,
  rowLines,
} from '../../../../worker/native/doctor-rows.ts';
import type { Row } from '../../../../worker/native/doctor-rows.ts';
import { standIns } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const good = (check: string): Row => ({ check, status: 'ok', detail: 'x' });
const bad = (check: string): Row => ({ check, status: 'warning', detail: 'x', fix: 'do y' });

describe('a machine', () => {
  test.each([
    ['can train when both engines work', good, good, ['ok', 'ok'], true],
    ['can train, with a warning, when only wasm works', bad, good, ['warning', 'ok'], true],
    ['can train, with a warning, when only tensorflow works', good, bad, ['ok', 'warning'], true],
    ['cannot train when no engine works', bad, bad, ['failed', 'failed'], false],
  ] as const)('%s', (_, tensorflow, wasm, statuses, able) => {
    const rows = judgeEngines(tensorflow('engine tensorflow'), wasm('engine wasm'));
    expect(rows.map(({ status }) => status)).toEqual(statuses);
    expect(canTrain(rows)).toBe(able);
  });
});

test.each([
  ['18.20.0', 'failed'],
  ['20.18.3', 'failed'],
  ['20.19.0', 'ok'],
  ['26.1.0', 'ok'],
])('Node %s has the status %s', (version, status) => {
  expect(nodeRow(version).status).toBe(status);
});

test.each([
  ['is a loop of links', 'loop'],
  ['has a name that is too long', 'a'.repeat(300)],
])('a cache that cannot be read because it %s is a warning with a fix', async (_, name) => {
  standIns({});
  const folder = temporaryFolder();
  symlinkSync('loop', join(folder, 'loop'));
  vi.stubEnv('MNIST_DIST_CACHE', join(folder, name));
  const rows = await doctorRows(tryWasm, { port: 0, runsDir: folder });
  expect(rows).toContainEqual({
    check: 'set-up lock',
    status: 'warning',
    detail: expect.stringMatching(/lock cannot be read: (?:ELOOP|ENAMETOOLONG)/),
    fix: expect.stringContaining('MNIST_DIST_CACHE'),
  });
});

test('every failed check has a fix, and the given port, data and folder are checked', async () => {
  standIns({});
  const cache = temporaryFolder();
  vi.stubEnv('MNIST_DIST_CACHE', cache);
  mkdirSync(join(cache, 'lock'));
  writeFileSync(join(cache, 'lock', 'owner.json'), '{"host":"another","pid":7,"started":"1"}');
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  const runsDir = temporaryFolder();
  const rows = await doctorRows(tryWasm, { port, data: '/nowhere', runsDir });
  await new Promise((resolve) => server.close(resolve));
  const of = (check: string): Row | undefined => rows.find((row) => row.check === check);
  expect(of(`port ${port}`)).toMatchObject({
    status: 'warning',
    detail: expect.stringContaining('EADDRINUSE'),
  });
  expect(of('set-up lock')).toMatchObject({
    status: 'warning',
    detail: expect.stringMatching(/lock is held by process 7 on another, which has not renewed it/),
    fix: expect.stringContaining(`remove ${join(cache, 'lock')}`),
  });
  expect(of('dataset')).toMatchObject({
    status: 'failed',
    detail: expect.stringContaining('/nowhere'),
  });
  expect(of('engine wasm')?.status).toBe('ok');
  expect(canTrain(rows)).toBe(false);
  expect(rows.filter(({ status, fix }) => status !== 'ok' && (fix ?? '') === '')).toEqual([]);
});

test('the table shows each fix below its row', () => {
  expect(rowLines([good('node'), { ...bad('compiler'), status: 'failed' }])).toEqual([
    'node      ok    x',
    'compiler  FAIL  x',
    '                fix: do y',
  ]);
});
