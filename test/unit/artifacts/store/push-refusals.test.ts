import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pushRun } from '../../../../artifacts/store/push.ts';
import {
  filesUnder,
  makeRun,
  recordOf,
  resultsOfRun,
  RUN,
} from '../../../fixtures/store/stored-run.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';

let folder = '';
let run = '';
let stored = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-push-'));
  run = makeRun(join(folder, 'runs'));
  stored = join(folder, 'store', RUN);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const push = () =>
  pushRun(run, { kind: 'file', directory: join(folder, 'store') }, immediateRetries());

it('push does not send a run whose model is that of another run', async () => {
  const record = (model: string) => ({
    'run.json': recordOf({ model: { sha256: sha256(model) } }),
    'model.safetensors': 'weights',
  });
  makeRun(join(folder, 'runs'), record('other weights'));
  await expect(push()).rejects.toMatchObject({
    code: 'DATA',
    message: expect.stringMatching(
      /model\.safetensors is not the model that run\.json names: SHA-256 \w{16} /,
    ),
  });
  makeRun(join(folder, 'runs'), record('weights'));
  await expect(push()).resolves.toBeDefined();
});

it('push does not replace a finished run by an unfinished copy of it', async () => {
  await push();
  const before = filesUnder(stored);
  const record = (state: string) => ({
    'run.json': recordOf({ state }),
  });
  for (const state of ['running', 'interrupted']) {
    makeRun(join(folder, 'runs'), record(state));
    await expect(push()).rejects.toMatchObject({
      code: 'RUN_EXISTS',
      message: expect.stringContaining(`has this run finished; the local run is ${state}`),
    });
  }
  expect(filesUnder(stored)).toEqual(before);
  // An unfinished run in the store may be replaced, even by another unfinished one.
  writeFileSync(join(stored, 'run.json'), record('interrupted')['run.json']);
  expect(await push()).toMatchObject({ state: 'interrupted', moved: 0 });
  makeRun(join(folder, 'runs'), record('failed'));
  expect(await push()).toMatchObject({ state: 'failed', moved: 1 });
  makeRun(join(folder, 'runs'));
  expect(await push()).toMatchObject({ state: 'finished', moved: 1 });
});

it.each<[string, string | undefined, string]>([
  ['artifacts/loss.svg', '<SVG/>', 'has other bytes than listed in'],
  ['artifacts/loss.svg', 'longer than it was', 'has other bytes than listed in'],
  ['artifacts/report.html', undefined, 'is missing, but listed in'],
])(
  'push does not send an artifact that differs from its manifest: %s, %j',
  async (name, text, why) => {
    const files = ['loss.svg', 'report.html'].map((name) => {
      const bytes = resultsOfRun[`artifacts/${name}`] ?? '';
      return { name, size: bytes.length, sha256: sha256(bytes), type: 'x' };
    });
    const manifest = JSON.stringify({ format: 1, files });
    makeRun(join(folder, 'runs'), { 'artifacts/manifest.json': manifest });
    expect(await push()).toMatchObject({ files: 8 });
    const before = filesUnder(stored);
    if (text === undefined) rmSync(join(run, name));
    else writeFileSync(join(run, name), text);
    await expect(push()).rejects.toMatchObject({
      code: 'DATA',
      message: `${join(run, name)} ${why} ${join(run, 'artifacts/manifest.json')}`,
      fix: expect.stringContaining('remove the manifest'),
    });
    expect(filesUnder(stored)).toEqual(before);
    rmSync(join(run, 'artifacts/manifest.json'));
    expect(await push()).toMatchObject({ files: text === undefined ? 6 : 7 });
  },
);

it.each(['{', '{"format":1,"files":[{"name":"../run.json","size":1,"sha256":"","type":""}]}'])(
  'push rejects artifacts with the manifest %s',
  async (text) => {
    writeFileSync(join(run, 'artifacts/manifest.json'), text);
    await expect(push()).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('is not a manifest of artifacts'),
    });
    expect(existsSync(stored)).toBe(false);
  },
);
