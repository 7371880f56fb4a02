import { hash } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { pushRun } from '../../../../artifacts/store/push.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { runToPush, type RunToPush } from '../../../fixtures/store/run-to-push.ts';
import { filesUnder, recordOf, resultsOfRun } from '../../../fixtures/store/stored-run.ts';

let run: string;
let address: RunToPush['address'];
let stored: string;
let remake: RunToPush['remake'];
beforeEach(() => {
  ({ run, address, stored, remake } = runToPush());
});

const push = () => pushRun(run, address, immediateRetries());

it('push does not send a run whose model belongs to a different run', async () => {
  const record = (model: string) => ({
    'run.json': recordOf({ model: { sha256: hash('sha256', model) } }),
    'model.safetensors': 'weights',
  });
  remake(record('other weights'));
  await expect(push()).rejects.toMatchObject({
    code: 'DATA',
    message: expect.stringMatching(
      /model\.safetensors is not the model that run\.json records: SHA-256 \w{16} /,
    ),
  });
  remake(record('weights'));
  await expect(push()).resolves.toBeDefined();
});

it('push does not replace a finished run with an unfinished copy of it', async () => {
  await push();
  const before = filesUnder(stored);
  const record = (state: string) => ({
    'run.json': recordOf({ state }),
  });
  for (const state of ['running', 'interrupted']) {
    remake(record(state));
    await expect(push()).rejects.toMatchObject({
      code: 'RUN_EXISTS',
      message: expect.stringContaining(
        `has a finished copy of this run; the local run is ${state}`,
      ),
    });
  }
  expect(filesUnder(stored)).toEqual(before);
  // An unfinished run in the store may be replaced, even by another unfinished one.
  writeFileSync(join(stored, 'run.json'), record('interrupted')['run.json']);
  expect(await push()).toMatchObject({ state: 'interrupted', moved: 0 });
  remake(record('failed'));
  expect(await push()).toMatchObject({ state: 'failed', moved: 1 });
  remake();
  expect(await push()).toMatchObject({ state: 'finished', moved: 1 });
});

it.each<[string, string | undefined, string]>([
  ['artifacts/loss.svg', '<SVG/>', 'does not match its entry in'],
  ['artifacts/loss.svg', 'longer than it was', 'does not match its entry in'],
  ['artifacts/report.html', undefined, 'is missing, but is listed in'],
])(
  'push does not send an artifact that differs from its entry in the manifest: %s, %j',
  async (name, text, why) => {
    const files = ['loss.svg', 'report.html'].map((name) => {
      const bytes = resultsOfRun[`artifacts/${name}`] ?? '';
      return { name, size: bytes.length, sha256: hash('sha256', bytes), type: 'x' };
    });
    const manifest = JSON.stringify({ format: 1, files });
    remake({ 'artifacts/manifest.json': manifest });
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
      message: expect.stringContaining('is not an artifacts manifest'),
    });
    expect(existsSync(stored)).toBe(false);
  },
);
