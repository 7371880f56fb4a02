import {
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseStoreUri } from '../../../../artifacts/store/store-address.ts';
import { pushFinishedRun } from '../../../../artifacts/store/push.ts';
import { pullRun } from '../../../../artifacts/store/pull.ts';
import { pushRun } from '../../../../artifacts/store/push.ts';
import type { Progress } from '../../../../artifacts/store/transfers.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { runToPush, type RunToPush } from '../../../fixtures/store/run-to-push.ts';
import { filesUnder, recordOf, resultsOfRun, RUN } from '../../../fixtures/store/stored-run.ts';

let folder: string;
let run: string;
let address: RunToPush['address'];
let stored: string;
let remake: RunToPush['remake'];
beforeEach(() => {
  ({ folder, run, address, stored, remake } = runToPush());
});

const push = (onProgress?: (progress: Progress) => void) =>
  pushRun(run, address, immediateRetries(), onProgress);
const pull = (directory = join(folder, 'pulled')) =>
  pullRun(parseStoreUri(`file:${stored}`), { directory }, immediateRetries());
const write = (name: string, text: string) => writeFileSync(join(stored, name), text);
const written = (files: readonly object[], more = {}) =>
  JSON.stringify({ format: 1, run: RUN, started: '2026-01-02T03:04:05.000Z', files, ...more });

describe('push', () => {
  it('sends only the results, and lists them all in manifest.json', async () => {
    const before = filesUnder(run);
    const pushed = await push();
    const { 'manifest.json': manifest = '', ...files } = filesUnder(stored);
    expect(files).toEqual(resultsOfRun);
    const entries = Object.entries(resultsOfRun).map(([name, text]) =>
      expect.objectContaining({
        name,
        size: Buffer.byteLength(text),
        sha256: hash('sha256', text),
      }),
    );
    expect(JSON.parse(manifest)).toMatchObject({
      format: 1,
      run: RUN,
      files: expect.arrayContaining(entries),
    });
    expect(JSON.parse(manifest).files).toHaveLength(entries.length);
    const count = entries.length;
    expect(pushed).toMatchObject({
      run: RUN,
      state: 'finished',
      uri: `file:${stored}`,
      files: count,
      moved: count,
    });
    expect(filesUnder(run)).toEqual(before);
  });

  it('sends the weights that a run began with, which verify needs', async () => {
    const init = { 'init.safetensors': 'initial weights' };
    remake(init);
    await push();
    await pull();
    expect(filesUnder(join(folder, 'pulled'))).toEqual({ ...resultsOfRun, ...init });
  });

  it('writes the artifacts manifest after all other files, and its own manifest last', async () => {
    const seen: string[] = [];
    await push(({ name }) => {
      seen.push(name);
      expect(existsSync(join(stored, 'manifest.json')), name).toBe(false);
      expect(existsSync(join(stored, 'artifacts/manifest.json')), name).toBe(
        name === 'artifacts/manifest.json',
      );
    });
    expect(seen.toSorted()).toEqual(Object.keys(resultsOfRun).toSorted());
    expect(seen.at(-1)).toBe('artifacts/manifest.json');
  });

  it('sends a run that has no artifacts yet', async () => {
    rmSync(join(run, 'artifacts'), { recursive: true });
    rmSync(join(run, 'model.safetensors'));
    expect(await push()).toMatchObject({ files: 3 });
    expect(Object.keys(filesUnder(stored)).toSorted()).toEqual([
      'events.jsonl',
      'manifest.json',
      'metrics.jsonl',
      'run.json',
    ]);
  });

  it('sends damaged files again, but not intact ones', async () => {
    await push();
    expect(await push()).toMatchObject({ files: 8, moved: 0, movedBytes: 0 });
    const old = new Date(2000, 0);
    utimesSync(join(stored, 'metrics.jsonl'), old, old);
    write(
      'model.safetensors',
      resultsOfRun['model.safetensors']?.replace('binary', 'BINARY') ?? '',
    );
    write('artifacts/loss.svg', 'longer than it was');
    expect(await push()).toMatchObject({ moved: 2 });
    expect(filesUnder(stored)).toMatchObject(resultsOfRun);
    expect(statSync(join(stored, 'metrics.jsonl')).mtime).toEqual(old);
  });

  it('resumes a push that was cut off and left the store without a complete run', async () => {
    await push();
    rmSync(join(stored, 'manifest.json'));
    rmSync(join(stored, 'artifacts/manifest.json'));
    rmSync(join(stored, 'metrics.jsonl'));
    await expect(pull()).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('has no complete run'),
    });
    expect(await push()).toMatchObject({ files: 8, moved: 2 });
    expect(await pull()).toMatchObject({ moved: 8 });
  });

  it('removes the manifest before any change, and removes outdated files', async () => {
    await push();
    remake({ 'metrics.jsonl': 'longer now\n' });
    rmSync(join(run, 'artifacts/loss.svg'));
    await push(({ name }) => expect(existsSync(join(stored, 'manifest.json')), name).toBe(false));
    const { 'manifest.json': manifest = '', ...files } = filesUnder(stored);
    const { 'artifacts/loss.svg': _gone, ...left } = resultsOfRun;
    expect(files).toEqual({ ...left, 'metrics.jsonl': 'longer now\n' });
    expect(manifest).not.toContain('loss.svg');
  });

  it('replaces a damaged manifest', async () => {
    await push();
    write('manifest.json', '{');
    expect(await push()).toMatchObject({ moved: 0 });
    await pull();
  });

  it('does not overwrite a different run with the same id', async () => {
    await push();
    const before = filesUnder(stored);
    const other = recordOf({ started: '2026-05-05T00:00:00.000Z' });
    remake({ 'run.json': other });
    await expect(push()).rejects.toMatchObject({ code: 'RUN_EXISTS' });
    expect(filesUnder(stored)).toEqual(before);
  });

  it.each([
    ['artifacts/loss.svg', 'model.safetensors'],
    ['model.safetensors', '../../secret'],
    ['run.json', '../../secret'],
  ])('does not send a file through a link: %s', async (name, target) => {
    writeFileSync(join(folder, 'secret'), resultsOfRun['run.json'] ?? '');
    rmSync(join(run, name));
    symlinkSync(target, join(run, name));
    await expect(push()).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('a link'),
    });
    expect(existsSync(stored)).toBe(false);
  });

  it('does not follow a link in place of the artifacts folder', async () => {
    rmSync(join(run, 'artifacts'), { recursive: true });
    symlinkSync('/etc', join(run, 'artifacts'));
    await expect(push()).rejects.toMatchObject({ message: expect.stringContaining('a link') });
  });

  it('rejects an unusual file name, an invalid run, and its own directory as store', async () => {
    writeFileSync(join(run, 'artifacts', 'a\\b'), '');
    await expect(push()).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('a\\\\b'),
    });
    rmSync(join(run, 'artifacts', 'a\\b'));
    const within = { kind: 'file', directory: join(folder, 'runs') } as const;
    await expect(pushRun(run, within, immediateRetries())).rejects.toMatchObject({ code: 'USAGE' });
    remake({
      'run.json': '{"run":"../x","started":"2026-01-02T03:04:05.000Z","state":"x"}',
    });
    await expect(push()).rejects.toMatchObject({ code: 'DATA' });
    rmSync(join(run, 'run.json'));
    await expect(push()).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('is not a run'),
    });
  });

  it('stops on request, and resumes later', async () => {
    const stopping = new AbortController();
    const reason = new Error('stopped');
    const stopped = pushRun(run, address, immediateRetries([], stopping.signal), () =>
      stopping.abort(reason),
    );
    await expect(stopped).rejects.toBe(reason);
    expect(existsSync(join(stored, 'manifest.json'))).toBe(false);
    const { files, moved } = await push();
    expect(moved).toBeLessThan(files);
  });
});

describe('the push of a finished run', () => {
  it('sends the same files as push', async () => {
    await pushFinishedRun(run, `file:${join(folder, 'store')}`, immediateRetries());
    expect(await push()).toMatchObject({ files: 8, moved: 0 });
  });

  it('may fail, and then says where the run is and which command sends it later', async () => {
    writeFileSync(join(folder, 'store'), 'in the way');
    const uri = `file:${join(folder, 'store')}`;
    await expect(pushFinishedRun(run, uri, immediateRetries())).rejects.toMatchObject({
      code: 'STORE',
      fix: expect.stringMatching(
        `permissions.* The complete run is in ${run}; .*: mnist-dist push ${run} ${uri}$`,
      ),
    });
  });

  it.each(['nowhere', 's3://AKIA:hunter2@bucket'])(
    'does not repeat the URI %s in its messages',
    async (uri) => {
      const error: unknown = await pushFinishedRun(run, uri, immediateRetries()).catch(
        (error: unknown) => error,
      );
      expect(error).toMatchObject({
        code: 'USAGE',
        fix: expect.stringMatching(
          `The complete run is in ${run}; send it with: mnist-dist push ${run} URI$`,
        ),
      });
      expect(String(error)).not.toContain('hunter2');
    },
  );
});

describe('pull', () => {
  beforeEach(async () => {
    await push();
  });

  it('creates a directory with the same bytes, by default named after the run id', async () => {
    const pulled = await pullRun(
      parseStoreUri(`file:${stored}`),
      { runs: join(folder, 'new') },
      immediateRetries(),
    );
    expect(pulled).toMatchObject({
      run: RUN,
      directory: join(folder, 'new', RUN),
      files: 8,
      moved: 8,
    });
    expect(filesUnder(pulled.directory)).toEqual(resultsOfRun);
    expect(readdirSync(join(folder, 'new'))).toEqual([RUN]);
  });

  it('does not fetch complete files again, and fills an empty directory', async () => {
    mkdirSync(join(folder, 'pulled'));
    expect(await pull()).toMatchObject({ moved: 8 });
    expect(await pull()).toMatchObject({ files: 8, moved: 0 });
    // A file that a later evaluation has added does not get in the way.
    writeFileSync(join(folder, 'pulled', 'more'), '');
    expect(await pull()).toMatchObject({ moved: 0 });
  });

  it.each([
    ['a damaged file', 'model.safetensors', 'other bytes'],
    ['a file of the same size', 'artifacts/loss.svg', '<SVG/>'],
    ['a longer file', 'events.jsonl', 'x'],
  ])(
    'does not create a run from %s, and resumes once the file is intact',
    async (_what, name, text) => {
      write(name, text);
      await expect(pull()).rejects.toMatchObject({
        code: 'STORE',
        message: expect.stringContaining(name),
      });
      expect(existsSync(join(folder, 'pulled'))).toBe(false);
      write(name, resultsOfRun[name] ?? '');
      const { files, moved } = await pull();
      expect(files).toBe(8);
      expect(moved).toBeLessThan(8);
      expect(filesUnder(join(folder, 'pulled'))).toEqual(resultsOfRun);
      expect(readdirSync(folder).toSorted()).toEqual(['pulled', 'runs', 'store']);
    },
  );

  it('does not create a directory for a run that lacks a file', async () => {
    rmSync(join(stored, 'run.json'));
    await expect(pull()).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('is missing'),
    });
    expect(existsSync(join(folder, 'pulled'))).toBe(false);
  });

  it('does not overwrite anything', async () => {
    mkdirSync(join(folder, 'pulled'));
    writeFileSync(join(folder, 'pulled', 'mine'), 'mine');
    await expect(pull()).rejects.toMatchObject({ code: 'RUN_EXISTS' });
    await expect(pull(join(folder, 'pulled', 'mine'))).rejects.toMatchObject({
      code: 'RUN_EXISTS',
    });
    expect(filesUnder(join(folder, 'pulled'))).toEqual({ mine: 'mine' });
  });

  it('removes foreign files from an earlier draft, and does not follow links in it', async () => {
    const draft = join(folder, '.pulled.pull');
    mkdirSync(join(draft, 'artifacts'), { recursive: true });
    mkdirSync(join(folder, 'outside'));
    writeFileSync(join(folder, 'outside', 'run.json'), 'outside');
    writeFileSync(join(draft, 'stranger'), 'x');
    writeFileSync(join(draft, 'metrics.jsonl'), 'damaged');
    symlinkSync(join(folder, 'outside', 'run.json'), join(draft, 'run.json'));
    mkdirSync(join(draft, 'model.safetensors'));
    symlinkSync(join(folder, 'outside'), join(draft, 'artifacts', 'loss.svg'));
    await pull();
    expect(filesUnder(join(folder, 'pulled'))).toEqual(resultsOfRun);
    expect(filesUnder(join(folder, 'outside'))).toEqual({ 'run.json': 'outside' });
  });

  it('does not write into a draft that is a link, or into a linked folder of a draft', async () => {
    const draft = join(folder, '.pulled.pull');
    mkdirSync(join(folder, 'outside'));
    symlinkSync(join(folder, 'outside'), draft);
    await expect(pull()).rejects.toMatchObject({ message: expect.stringContaining('a link') });
    rmSync(draft);
    mkdirSync(draft);
    symlinkSync(join(folder, 'outside'), join(draft, 'artifacts'));
    await pull();
    expect(readdirSync(join(folder, 'outside'))).toEqual([]);
    expect(filesUnder(join(folder, 'pulled'))).toEqual(resultsOfRun);
  });

  const entry = { name: 'artifacts/x', size: 1, sha256: hash('sha256', 'x'), type: 'text/plain' };
  it.each([
    ...['../x', '/x', 'a/../../x', 'a\\x', 'x\0', '.x', 'manifest.json', ''].map((name) => [
      JSON.stringify(name),
      written([{ ...entry, name }]),
    ]),
    ['one name twice', written([entry, { ...entry, name: 'artifacts/X' }])],
    ['a run id that leads elsewhere', written([entry], { run: '..' })],
    ['a negative size', written([{ ...entry, size: -1 }])],
    ['a different format', written([], { format: 2 })],
    ['invalid JSON', 'x'],
  ])('refuses a manifest with %s', async (_what, text) => {
    write('manifest.json', text);
    const runs = join(folder, 'new');
    await expect(
      pullRun(parseStoreUri(`file:${stored}`), { runs }, immediateRetries()),
    ).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('is not a run manifest'),
    });
    expect(existsSync(runs)).toBe(false);
  });

  it.each([
    'lock.json',
    'join',
    'checkpoints/step-0000000010.safetensors',
    'eval-1/summary.json',
    'artifacts/folder/x.svg',
    'artifacts',
  ])('refuses a manifest with a file that push never sends: %s', async (name) => {
    const manifest = JSON.parse(filesUnder(stored)['manifest.json'] ?? '');
    manifest.files.push({ ...manifest.files[0], name });
    write('manifest.json', JSON.stringify(manifest));
    await expect(pull()).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('is not the name of a file that a push sends'),
    });
  });

  it('reads a manifest only up to its size limit', async () => {
    write('manifest.json', 'x'.repeat(5 * 1024 ** 2));
    await expect(pull()).rejects.toMatchObject({
      message: expect.stringMatching(/it has more than \d+ bytes/),
    });
  });

  it('lists the runs in a store if none was chosen', async () => {
    await expect(
      pullRun(address, { directory: join(folder, 'pulled') }, immediateRetries()),
    ).rejects.toMatchObject({
      code: 'STORE',
      fix: expect.stringContaining(`file:${stored}`),
    });
  });
});
