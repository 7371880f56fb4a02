import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { thisProcess } from '../../../../../bin/owner.mjs';
import { ClusterError } from '../../../../../shared/errors.ts';
import { diskUse } from '../../../../../worker/native/cache/disk-use.ts';
import { planRepair, repair, repairLines } from '../../../../../worker/native/cache/repair.ts';
import { ensureTensorFlow } from '../../../../../worker/native/ensure.ts';
import { readyTensorFlow } from '../../../../../worker/native/engine-manifest.ts';
import type { WheelSet } from '../../../../../worker/native/wheels.ts';
import { standIns, systemPath, zip } from '../../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

const dist = new URL('../../../../../dist', import.meta.url).pathname;
const asRoot = process.getuid?.() === 0;
const OTHER_USER = 65_534;
const FILE = 'small-1-cp311-cp311-manylinux_2_17_x86_64.whl';
const wheel = zip({
  'tensorflow/libtensorflow_cc.so.2': 'the library',
  'tensorflow/libtensorflow_framework.so.2': 'the framework',
  'tensorflow/include/tensorflow/c/c_api.h': '// a header',
});
const set: WheelSet = {
  name: 'small-set',
  device: 'cpu',
  wheels: [
    {
      project: 'small',
      version: '1',
      file: FILE,
      sha256: createHash('sha256').update(wheel).digest('hex'),
      megabytes: 1,
    },
  ],
  unpackedMegabytes: 1,
};

vi.mock(import('../../../../../worker/native/wheels.ts'), async (load) => ({
  ...(await load()),
  wheelSet: () => set,
  pinnedSets: () => [set],
}));

// The fake compiler writes the path of the library into the binding.
vi.mock('../../../../../worker/native/smoke.ts', () => ({
  smokeTest: async (binding: string) => {
    const library = readFileSync(binding, 'utf8');
    const text = readFileSync(join(library, 'libtensorflow_cc.so.2'), 'utf8');
    if (text === 'the library') return { version: '2.21.0', gpu: false };
    throw new ClusterError('SETUP', 'TensorFlow was built but does not work (exit 1)');
  },
}));

const COMPILER = `
[ "$1" = --version ] && exit 0
for word in "$@"; do case "$word" in -Wl,-rpath,*) library=\${word#-Wl,-rpath,};; esac; done
while [ $# -gt 0 ]; do [ "$1" = -o ] && printf %s "$library" > "$2"; shift; done; true`;

let folder: string;
let cache: string;
let link: string;
let library: string;

/** A cache with a working engine. `downloads` tells how often the wheel was downloaded. */
beforeEach(async () => {
  folder = temporaryFolder();
  link = join(folder, 'module', 'napi-v8');
  writeFileSync(join(folder, FILE), wheel);
  const pip = `
[ "$1" = --version ] && { echo "pip 99 from here"; exit 0; }
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
echo once >> ${folder}/downloads; cp ${folder}/${FILE} "$dest/"`;
  standIns({ 'c++': COMPILER, pip3: pip }, systemPath);
  useCache(join(folder, 'cache'));
  await ensureTensorFlow({ link }, () => undefined);
});

function useCache(path: string): void {
  cache = path;
  library = join(cache, 'libraries', 'small-set');
  vi.stubEnv('MNIST_DIST_CACHE', cache);
}

const downloads = () => readFileSync(join(folder, 'downloads'), 'utf8').split('\n').length - 1;
const inCache = (...path: string[]) => join(cache, ...path);
const bindings = () => readdirSync(inCache('bindings'));

function write(path: string, content: string | Buffer): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
}

/** Repairs the cache; returns what was printed before the first change. */
async function repaired(isThorough = false): Promise<readonly string[]> {
  const plan = await planRepair({ isThorough, link });
  const lines = repairLines(plan);
  const native = await repair(plan, { link }, () => undefined);
  expect(readyTensorFlow(link)).toEqual(native);
  expect(repairLines(await planRepair({ isThorough, link }))).toEqual([]);
  return lines;
}

it('is advised, with the folder, if a binding that was just built does not work', async () => {
  write(join(library, 'tensorflow/libtensorflow_cc.so.2'), 'THE LIBRARY');
  const result = ensureTensorFlow({ link, isTested: true }, () => undefined);
  await expect(result).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining('does not work'),
    fix: expect.stringMatching(new RegExp(`setup --repair; .* remove the library ${library}, `)),
  });
  expect(await repaired()).toContainEqual(expect.stringContaining('has a wrong checksum'));
});

it('changes nothing in a cache that works', async () => {
  expect(await repaired()).toEqual([]);
  expect(downloads()).toBe(1);
});

describe('a library that works, although it is damaged,', () => {
  it.each([
    ['libtensorflow_framework.so.2', 'has other bytes', 'the FRAMEWORK', 'has a wrong checksum'],
    [
      'include/tensorflow/c/c_api.h',
      'is longer',
      '// a header, longer',
      'has 19 bytes instead of 11',
    ],
  ])('is replaced by an explicit repair if %s %s', async (name, _, content, why) => {
    const file = `tensorflow/${name}`;
    write(join(library, file), content);
    expect(await repaired()).toEqual([]);
    expect(await repaired(true)).toEqual([
      expect.stringMatching(`^remove ${library} .*the library is damaged: ${file} ${why}`),
      expect.stringMatching(/^remove .*bindings.*its library is incomplete$/),
      `set up TensorFlow in ${cache}: its library is damaged`,
    ]);
    expect(downloads()).toBe(2);
  });

  it('is kept if only its headers are missing', async () => {
    rmSync(join(library, 'tensorflow/include'), { recursive: true });
    expect(await repaired(true)).toEqual([]);
    expect(downloads()).toBe(1);
  });
});

describe('a cache that is incomplete because a set-up was interrupted', () => {
  it('while it downloaded, is completed', async () => {
    rmSync(inCache('libraries'), { recursive: true });
    rmSync(inCache('bindings'), { recursive: true });
    write(inCache('wheels', FILE), wheel.subarray(0, 100));
    expect(await repaired()).toEqual([`set up TensorFlow in ${cache}: it is not set up`]);
    expect(readdirSync(cache).toSorted()).toEqual(['bindings', 'libraries', 'trials', 'wheels']);
    expect(readdirSync(inCache('wheels'))).toEqual([]);
    expect(downloads()).toBe(2);
  });

  it.each([
    ['a library is missing', 'tensorflow/libtensorflow_framework.so.2', undefined],
    ['a library is too short', 'tensorflow/libtensorflow_cc.so.2', 'the'],
    ['a library has other bytes', 'tensorflow/libtensorflow_cc.so.2', 'THE LIBRARY'],
  ])('and %s, is unpacked again', async (_, file, content) => {
    if (content === undefined) rmSync(join(library, file));
    else write(join(library, file), content);
    const lines = await repaired();
    expect(lines).toContainEqual(
      expect.stringMatching(`^remove ${library} .*the library is incomplete: .*${file}`),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^remove .*its library is incomplete$/));
    expect(downloads()).toBe(2);
  });

  it('while it unpacked, loses what the set-up left in its lock', async () => {
    const { pid: gone } = spawnSync('true');
    const owner = { ...thisProcess(), pid: gone, token: '0123456789ab' };
    const partial = join('0123456789ab', 'library', 'libtensorflow_cc.so.2');
    const left = [inCache('lock'), inCache('lock.ba9876543210')];
    for (const lock of left) {
      write(join(lock, 'owner.json'), JSON.stringify(owner));
      write(join(lock, partial), Buffer.alloc(3e6));
    }
    expect(diskUse(cache, folder)).toContain(', lock 6 MB; ');
    expect(await repaired()).toEqual(
      left.map((lock) => expect.stringMatching(`^remove ${lock} .3 MB.: .*interrupted left it`)),
    );
    for (const lock of left) expect(existsSync(lock)).toBe(false);
    expect(diskUse(cache, folder)).not.toContain('lock');
    expect(downloads()).toBe(1);
  });

  it('and a set-up is running, keeps the files of that set-up', async () => {
    const running = { ...thisProcess(), token: '0123456789ab' };
    write(inCache('lock', 'owner.json'), JSON.stringify(running));
    expect(repairLines(await planRepair({ isThorough: false, link }))).toEqual([]);
    rmSync(inCache('lock'), { recursive: true });
  });

  it('and a header is missing, is unpacked again if a binding must be compiled', async () => {
    const header = 'tensorflow/include/tensorflow/c/c_api.h';
    rmSync(join(library, header));
    expect(await repaired()).toEqual([]);
    rmSync(inCache('bindings'), { recursive: true });
    expect(await repaired()).toEqual([
      expect.stringMatching(`^remove ${library} .*${header} is missing`),
      `set up TensorFlow in ${cache}: it is not set up`,
    ]);
  });

  it('and a binding is damaged, is compiled again without a download', async () => {
    write(inCache('bindings', bindings()[0] ?? '', 'manifest.json'), '{"half":');
    expect(await repaired()).toEqual([
      expect.stringMatching(/^remove .*bindings.*: its manifest.json is missing or damaged$/),
      `set up TensorFlow in ${cache}: it is not set up`,
    ]);
    expect(downloads()).toBe(1);
  });

  it('and files of killed workers are left, loses only the old ones', async () => {
    const [old, fresh] = ['a', 'b'].map((digit) =>
      inCache('datasets', `.${digit.repeat(64)}.0a.tmp`),
    ) as [string, string];
    for (const path of [old, fresh]) write(path, 'half');
    utimesSync(old, 0, 0);
    expect(await repaired()).toEqual([expect.stringMatching(`^remove ${old} .*killed`)]);
    expect(existsSync(fresh)).toBe(true);
  });
});

it('compiles again, without a download, after the cache was moved', async () => {
  const moved = join(folder, 'moved');
  renameSync(cache, moved);
  const before = cache;
  useCache(moved);
  expect(readyTensorFlow(link)).toBeUndefined();
  const lines = await repaired();
  expect(lines[0]).toMatch(/^remove .*bindings.*: the cache was moved$/);
  expect(bindings()).toHaveLength(1);
  expect(downloads()).toBe(1);
  expect(existsSync(before)).toBe(false);
});

it('removes a wheel that was already unpacked', async () => {
  const left = inCache('wheels', FILE);
  write(left, wheel);
  expect(await repaired()).toEqual([expect.stringMatching(`^remove ${left} .*already unpacked`)]);
  expect(downloads()).toBe(1);
});

it('keeps all files and folders of the user that happen to be in the cache', async () => {
  const key = '0123456789abcdef';
  const own = [
    ['tmp', 'mine'],
    ['wheels', 'mine.whl'],
    ['wheels', FILE.replaceAll('cp311', 'cp312')],
    ['libraries', 'mylib', 'mine.so'],
    ['libraries', `wheel-${key}`, 'mine.so'],
    ['libraries', 'tensorflow-2.20.0-aarch64'],
    ['bindings', 'mine', 'manifest.json'],
    ['bindings', key, 'mine.py'],
    ['links', 'mine'],
    ['datasets', `.${'a'.repeat(64)}.0a.tmp`, 'mine'],
  ].map((path) => inCache(...path));
  for (const path of own) write(path, 'mine');
  const links = [
    ['libraries', 'tensorflow-2.20.0-x86_64'],
    ['bindings', key.replace('0', '1')],
    ['links', key],
  ].map((path) => inCache(...path));
  for (const path of links) symlinkSync(join(folder, 'none'), path);
  rmSync(library, { recursive: true });
  const lines = await repaired();
  expect(lines.at(-1)).toMatch(/^set up TensorFlow/);
  for (const path of [...own, ...links]) expect(lines.join('\n')).not.toContain(path);
  for (const path of own) expect(readFileSync(path, 'utf8')).toBe('mine');
  for (const path of links) expect(readlinkSync(path)).toBe(join(folder, 'none'));
});

it("sets up from another Python's wheel that the user passes, or says what it lacks", async () => {
  const other = join(folder, 'tensorflow-2.21.0-cp312-cp312-linux_x86_64.whl');
  write(other, wheel);
  const plan = await planRepair({ isThorough: false, link });
  const native = await repair(plan, { link, tensorflow: other }, () => undefined);
  expect(native.library).toMatch(/wheel-[0-9a-f]{16}\/tensorflow$/);
  write(other, zip({ 'tensorflow/libtensorflow_cc.2.dylib': 'for a different system' }));
  await expect(repair(plan, { link, tensorflow: other }, () => undefined)).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringMatching(/cp312.*libtensorflow_cc\.so\.2 is missing/),
  });
  expect(readdirSync(inCache('libraries'))).toHaveLength(2);
});

it('keeps what an older version uses, and leaves both engines working', async () => {
  const older = inCache('libraries', 'tensorflow-2.20.0');
  for (const name of ['cc', 'framework'])
    write(join(older, 'tensorflow', `libtensorflow_${name}.so.2`), name);
  const manifest = {
    format: 1,
    library: join(older, 'tensorflow'),
    files: [
      { path: join(older, 'tensorflow', 'libtensorflow_cc.so.2'), bytes: 2 },
      { path: inCache('bindings', 'older', 'tfjs_binding.node'), bytes: 7 },
    ],
  };
  write(inCache('bindings', 'older', 'manifest.json'), JSON.stringify(manifest));
  write(inCache('bindings', 'older', 'tfjs_binding.node'), 'binding');
  write(inCache('bindings', 'unknown', 'manifest.json'), '{"format":9}');
  mkdirSync(inCache('links'));
  symlinkSync(inCache('bindings', 'older'), inCache('links', 'older'));
  symlinkSync(inCache('bindings', 'f'.repeat(16)), inCache('links', 'e'.repeat(16)));
  rmSync(join(library, 'tensorflow', 'libtensorflow_framework.so.2'));
  const lines = await repaired();
  expect(lines.filter((line) => /older|unknown/.test(line))).toEqual([]);
  expect(lines).toContainEqual(expect.stringMatching(/links\/e+ .*its binding is gone/));
  expect(existsSync(inCache('links', 'older', 'tfjs_binding.node'))).toBe(true);
});

it('does not wait for pipes that were planted in the cache', async () => {
  const [name = ''] = bindings();
  for (const path of [inCache('bindings', name, 'manifest.json'), join(library, 'contents.json')]) {
    rmSync(path);
    execFileSync('mkfifo', [path]);
  }
  // The binding is compiled again; the library has no other record of its files.
  expect(await repaired()).toEqual([`set up TensorFlow in ${cache}: it is not set up`]);
  expect(downloads()).toBe(1);
});

it('changes nothing outside the cache', async () => {
  const outside = join(folder, 'outside');
  write(join(outside, 'stray.whl'), 'a wheel of the user');
  rmSync(inCache('wheels'), { recursive: true });
  symlinkSync(outside, inCache('wheels'));
  expect(await repaired()).toEqual([]);
  expect(readdirSync(outside)).toEqual(['stray.whl']);
});

it('says that a compiler found no disk space', async () => {
  rmSync(inCache('bindings'), { recursive: true });
  const full = '[ "$1" = --version ] && exit 0; echo "x.s: No space left on device" >&2; exit 1';
  standIns({ 'c++': full }, systemPath);
  await expect(repaired()).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining('No space left on device'),
    fix: expect.stringMatching(/^free disk space/),
  });
});

describe.skipIf(!asRoot)('in another process', () => {
  /** A script that repairs a cache with the built program, and prints the error. */
  const script = (path: string) => `
    const { planRepair, repair } = await import('${dist}/worker/native/cache/repair.js');
    const link = '/nowhere/napi-v8';
    process.env.MNIST_DIST_CACHE = '${path}';
    const plan = await planRepair({ isThorough: false, link });
    await repair(plan, { link, device: 'cpu' }, () => undefined).catch(
      ({ code, message, fix }) => console.log(code, message, fix),
    );`;

  const asOther = (text: string) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', text], {
      encoding: 'utf8',
      cwd: '/',
      uid: OTHER_USER,
      gid: OTHER_USER,
      env: {},
    });

  it('a full disk ends with SETUP, and leaves the cache empty', () => {
    const small = join(folder, 'small');
    mkdirSync(small);
    const mount = 'mount -t tmpfs -o size=1m none "$0"';
    const command = `${mount} && node --input-type=module -e "$1"; ls "$0"`;
    const { stdout } = spawnSync('unshare', ['-m', 'sh', '-c', command, small, script(small)], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${join(process.execPath, '..')}:${systemPath.join(':')}` },
    });
    expect(stdout).toMatch(
      /^SETUP .*small has [01] MB of free disk space; the set-up needs \d+ MB/,
    );
    expect(stdout).toMatch(/ free disk space, or choose another folder: .*\n$/);
  });

  it.each(['tensorflow', 'tensorflow/libtensorflow_cc.so.2', 'contents.json'])(
    'what this user may not read counts as undamaged: %s',
    (name) => {
      chmodSync(folder, 0o755);
      chmodSync(join(library, name), 0);
      chmodSync(inCache('bindings', bindings()[0] ?? '', 'manifest.json'), 0);
      const { stdout, stderr } = asOther(`
        const { planRepair, repairLines } = await import('${dist}/worker/native/cache/repair.js');
        process.env.MNIST_DIST_CACHE = '${cache}';
        const plan = await planRepair({ isThorough: false, link: '/nowhere/napi-v8' });
        console.log(...repairLines(plan));`);
      expect({ stdout, stderr }).toEqual({
        stdout: `set up TensorFlow in ${cache}: it is not set up\n`,
        stderr: '',
      });
    },
  );

  it("a cache below another user's folder ends with SETUP", () => {
    chmodSync(folder, 0o700);
    expect(asOther(script(join(folder, 'foreign'))).stdout).toMatch(/^SETUP .*EACCES.* choose a/);
  });

  it("another user's cache ends with SETUP, and the error names the user", () => {
    chmodSync(folder, 0o755);
    const foreign = join(folder, 'foreign');
    mkdirSync(foreign, { mode: 0o755 });
    expect(asOther(script(foreign)).stdout).toMatch(
      /^SETUP .*foreign: it belongs to the user with the id 0, and .* id 65534 choose a writable/,
    );
  });
});
