import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { ensureTensorFlow } from '../../../../worker/native/ensure.ts';
import { readyTensorFlow } from '../../../../worker/native/engine-manifest.ts';
import { ownLink, tfjsPackage } from '../../../../worker/native/places.ts';
import { standIns, systemPath } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const installed = readyTensorFlow();

function emptyPlaces() {
  const folder = temporaryFolder();
  const cache = join(folder, 'cache');
  vi.stubEnv('MNIST_DIST_CACHE', cache);
  return { folder, cache, link: join(folder, 'module', 'napi-v8') };
}

const ignore = (): void => undefined;

describe('without a compiler', () => {
  test('the set-up fails before anything is downloaded and says what to install', async () => {
    const { cache, link, folder } = emptyPlaces();
    standIns({ pip3: `touch ${folder}/pip-was-called` });
    await expect(ensureTensorFlow({ link, device: 'cpu' }, ignore)).rejects.toMatchObject({
      code: 'SETUP',
      message: expect.stringContaining('no C++ compiler'),
      fix: expect.stringContaining('apt-get install -y g++'),
    });
    expect(existsSync(join(folder, 'pip-was-called'))).toBe(false);
    expect(readdirSync(cache)).toEqual([]);
  });

  test('the error shows a CXX that does not exist', async () => {
    const { link } = emptyPlaces();
    vi.stubEnv('CXX', '/nowhere/c++ -m64');
    await expect(ensureTensorFlow({ link, device: 'cpu' }, ignore)).rejects.toThrow(
      'CXX=/nowhere/c++ -m64',
    );
  });
});

test('a failing compiler leaves no binding behind, and the error shows its message', async () => {
  const { cache, link, folder } = emptyPlaces();
  const tensorflow = fakeTensorFlow(folder);
  standIns({
    'c++': '[ "$1" = --version ] && exit 0; echo "x.cc:1: error: no headers" >&2; exit 1',
  });
  await expect(ensureTensorFlow({ link, tensorflow }, ignore)).rejects.toThrow(
    'x.cc:1: error: no headers',
  );
  expect(existsSync(link)).toBe(false);
  expect(readdirSync(cache)).toEqual([]);
});

test('a binding that does not load is not used', async () => {
  const { cache, link, folder } = emptyPlaces();
  const tensorflow = fakeTensorFlow(folder);
  const compile = 'while [ $# -gt 0 ]; do [ "$1" = -o ] && echo no library > "$2"; shift; done';
  standIns({ 'c++': `[ "$1" = --version ] && exit 0; ${compile}` });
  await expect(ensureTensorFlow({ link, tensorflow }, ignore)).rejects.toThrow(
    /built but does not work/,
  );
  expect(existsSync(link)).toBe(false);
  expect(readdirSync(cache)).toEqual([]);
});

test('a cache in /proc is an error', async () => {
  const { link } = emptyPlaces();
  vi.stubEnv('MNIST_DIST_CACHE', '/proc/nowhere');
  await expect(ensureTensorFlow({ link, device: 'cpu' }, ignore)).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining('/proc/nowhere cannot be created: ENOENT'),
  });
});

test('the error says which cache cannot be written', async () => {
  const { cache, link, folder } = emptyPlaces();
  const tensorflow = fakeTensorFlow(folder);
  // The lock's owner finds a file in place of the lock's folder.
  const replace = `for f in '${cache}'/lock/*/; do /bin/rm -r "$f"; : > "\${f%/}"; done`;
  standIns({ 'c++': `[ "$1" = --version ] && { ${replace}; }; exit 0` });
  await expect(ensureTensorFlow({ link, tensorflow }, ignore)).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining(cache),
  });
});

describe.skipIf(installed === undefined)(
  'with the TensorFlow that is set up on this machine',
  () => {
    test('two concurrent set-ups build one binding, and a damaged binding is rebuilt', async () => {
      const { cache, folder, link } = emptyPlaces();
      standIns({}, [...(process.env['PATH'] ?? '').split(':'), ...systemPath]);
      const steps: string[] = [];
      const options = { link, tensorflow: installed?.library ?? '' };
      const report = ({ text }: { text: string }): void => {
        steps.push(text);
      };
      const [first, second] = await Promise.all([
        ensureTensorFlow(options, report),
        ensureTensorFlow(options, report),
      ]);
      expect(first).toEqual(second);
      expect(steps.filter((text) => text.startsWith('compiling'))).toHaveLength(1);
      expect(steps.filter((text) => text.startsWith('waiting'))).toHaveLength(1);
      expect(readdirSync(cache)).toEqual(['bindings', 'trials']);
      expect(readyTensorFlow(link)).toEqual(first);

      truncateSync(first.binding, statSync(first.binding).size - 1);
      expect(readyTensorFlow(link)).toBeUndefined();
      await ensureTensorFlow({ ...options }, report);
      expect(steps.filter((text) => text.startsWith('compiling'))).toHaveLength(2);
      expect(readFileSync(join(link, 'manifest.json'), 'utf8')).toContain(first.version);

      // The size stays the same, so only testing the binding reveals the damage.
      const working = readFileSync(first.binding);
      writeFileSync(first.binding, Buffer.alloc(working.length));
      const tested = { link, isTested: true, offline: true };
      await expect(ensureTensorFlow(tested, report)).rejects.toThrow(/offline/);
      expect(steps).toContainEqual(expect.stringMatching(/^rebuilding TensorFlow's binding: /));
      writeFileSync(first.binding, working);
      expect(await ensureTensorFlow(tested, report)).toEqual(first);

      await expect(ensureTensorFlow({ ...options, device: 'gpu' }, ignore)).rejects.toThrow(
        /--gpu/,
      );

      // A file in its place keeps the link's folder from being created, as another user's folder
      // would.
      const foreign = join(folder, 'foreign');
      writeFileSync(foreign, '');
      const own = await ensureTensorFlow({ ...options, link: join(foreign, 'napi-v8') }, report);
      expect(own.moduleDirectory).toMatch(`${cache}/links/`);
      expect(readyTensorFlow(join(foreign, 'napi-v8'))).toEqual(own);
      expect(steps.filter((text) => text.startsWith('compiling'))).toHaveLength(2);

      const [name = ''] = readdirSync(join(cache, 'links'));
      renameSync(join(cache, 'links', name), ownLink(tfjsPackage().moduleDirectory));
      expect(loadedBinding(cache)).toBe(realpathSync(first.binding));

      rmSync(foreign);
      await ensureTensorFlow({ ...options, link: join(foreign, 'napi-v8') }, report);
      expect(existsSync(join(foreign, 'napi-v8', 'manifest.json'))).toBe(true);
    }, 180_000);
  },
);

/** The file from which a process with this cache loads TensorFlow's binding. */
function loadedBinding(cache: string): string {
  const load = new URL('../../../../dist/worker/native/load.js', import.meta.url).href;
  const script = `
    const { loadTensorFlow } = await import(${JSON.stringify(load)});
    loadTensorFlow();
    const { readFileSync } = await import('node:fs');
    const mapped = readFileSync('/proc/self/maps', 'utf8').match(/\\/\\S*tfjs_binding\\.node$/gm);
    console.log([...new Set(mapped)].join());`;
  const environment = { ...process.env, ...installed?.environment, MNIST_DIST_CACHE: cache };
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    env: environment,
    encoding: 'utf8',
  }).trim();
}

/** A fake TensorFlow folder, which only the smoke test would reject. */
function fakeTensorFlow(folder: string): string {
  const directory = join(folder, 'tensorflow');
  mkdirSync(join(directory, 'include'), { recursive: true });
  for (const name of ['cc', 'framework'])
    writeFileSync(join(directory, `libtensorflow_${name}.so.2`), name);
  return directory;
}
