import { chmodSync, mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheDirectory } from '../../../../shared/disk/cache-directory.ts';
import { cachedDataset, storeDataset } from '../../../../shared/dataset/dataset-cache.ts';
import { datasetDigest } from '../../../../shared/dataset/dataset.ts';
import { tinyBytes } from '../../../fixtures/dataset/tiny-dataset.ts';

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'mnist-dist-cache-'));
});
afterEach(() => rm(cache, { recursive: true, force: true }));

const digest = datasetDigest(tinyBytes);

describe('the dataset cache', () => {
  it('returns only datasets that were stored', async () => {
    expect(await cachedDataset(digest, cache)).toBeUndefined();
    await storeDataset(digest, tinyBytes, cache);
    await storeDataset(digest, tinyBytes, cache);
    expect(Buffer.compare((await cachedDataset(digest, cache)) ?? Buffer.alloc(0), tinyBytes)).toBe(
      0,
    );
    expect(await readdir(join(cache, 'datasets'))).toEqual([digest]);
  });

  it('removes a damaged dataset', async () => {
    await storeDataset(digest, tinyBytes, cache);
    await writeFile(join(cache, 'datasets', digest), 'damaged');
    expect(await cachedDataset(digest, cache)).toBeUndefined();
    await expect(stat(join(cache, 'datasets', digest))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('rejects bytes with a different digest, and digests that are paths', async () => {
    await expect(storeDataset('0'.repeat(64), tinyBytes, cache)).rejects.toMatchObject({
      code: 'DATA',
    });
    await expect(cachedDataset('../x', cache)).rejects.toMatchObject({ code: 'DATA' });
    expect(await readdir(cache)).toEqual([]);
  });

  /** Stores `length` unique bytes that were last used at `minute` of a day in the past. */
  async function fill(length: number, minute: number): Promise<string> {
    const bytes = Buffer.alloc(length, minute);
    const name = datasetDigest(bytes);
    await storeDataset(name, bytes, cache, 1000);
    const used = new Date(Date.UTC(2026, 0, 1, 0, minute));
    await utimes(join(cache, 'datasets', name), used, used);
    return name;
  }

  it('removes the least recently used datasets when it reaches its limit', async () => {
    const [first, second, third] = [await fill(300, 1), await fill(300, 2), await fill(300, 3)];
    expect(await readdir(join(cache, 'datasets'))).toHaveLength(3);
    // Reading a dataset counts as use.
    expect(await cachedDataset(first, cache)).toBeDefined();
    const fourth = await fill(400, 4);
    expect((await readdir(join(cache, 'datasets'))).toSorted()).toEqual(
      [first, third, fourth].toSorted(),
    );
    expect(await cachedDataset(second, cache)).toBeUndefined();
    for (let minute = 5; minute < 20; minute++) {
      await fill(350, minute);
      const sizes = await Promise.all(
        (await readdir(join(cache, 'datasets'))).map((name) => stat(join(cache, 'datasets', name))),
      );
      expect(sizes.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(1000);
    }
  });

  it('removes a temporary file that a crash left, but no files of other programs', async () => {
    await fill(100, 1);
    const left = join(cache, 'datasets', `.${digest}.0123456789ab.tmp`);
    const foreign = join(cache, 'datasets', 'notes.txt');
    for (const path of [left, foreign]) await writeFile(path, Buffer.alloc(2000));
    const old = new Date(Date.UTC(2025, 0, 1));
    await utimes(left, old, old);
    const kept = await fill(950, 2);
    expect((await readdir(join(cache, 'datasets'))).toSorted()).toEqual(
      [kept, 'notes.txt'].toSorted(),
    );
    await expect(fill(1001, 3)).rejects.toMatchObject({ code: 'LIMIT' });
    expect(await readdir(join(cache, 'datasets'))).toHaveLength(2);
  });

  it('names the file that cannot be written', async () => {
    await writeFile(join(cache, 'file'), '');
    await expect(storeDataset(digest, tinyBytes, join(cache, 'file'))).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(join(cache, 'file', 'datasets')),
    });
  });

  it('cannot be created in /proc', async () => {
    await expect(storeDataset(digest, tinyBytes, '/proc/nowhere')).rejects.toMatchObject({
      code: 'DISK',
    });
  });

  it('is in the folder that MNIST_DIST_CACHE contains', () => {
    expect(cacheDirectory({ MNIST_DIST_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheDirectory({ MNIST_DIST_CACHE: '', XDG_CACHE_HOME: '/b' })).toBe('/b/mnist-dist');
    expect(cacheDirectory({})).toBe(join(homedir(), '.cache', 'mnist-dist'));
  });
});

describe('the cache of a user', () => {
  const id = process.getuid?.() ?? -1;
  const noHome = (): string => {
    throw new Error('ERR_SYSTEM_ERROR');
  };

  it.each([
    ['without a home', noHome],
    ['whose HOME is empty', () => ''],
    ['whose HOME is relative', () => 'home'],
    ['whose home is a file', () => '/dev/null'],
  ])('%s is a folder in TMPDIR that only this user can read', (_who, home) => {
    const folder = cacheDirectory({}, { home, id, temporary: cache });
    expect(folder).toBe(join(cache, `mnist-dist-${id}`));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(cacheDirectory({}, { home, id, temporary: cache })).toBe(folder);
  });

  it('is in a home that exists or can be created', () => {
    const home = join(cache, 'not', 'there', 'yet');
    const user = { home: () => home, id, temporary: '/nowhere' };
    expect(cacheDirectory({}, user)).toBe(join(home, '.cache', 'mnist-dist'));
  });

  it('causes an error with a fix if other users could have created the folder', () => {
    const folder = join(cache, `mnist-dist-${id}`);
    const user = { home: noHome, id, temporary: cache };
    const refusal = expect.objectContaining({
      code: 'DISK',
      fix: expect.stringContaining('MNIST_DIST_CACHE'),
    });
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    expect(() => cacheDirectory({}, user)).toThrow(refusal);
    rmSync(folder, { recursive: true });
    symlinkSync(tmpdir(), folder);
    expect(() => cacheDirectory({}, user)).toThrow(refusal);
    expect(() => cacheDirectory({}, { ...user, temporary: '/proc' })).toThrow(refusal);
    mkdirSync(join(cache, 'mnist-dist-4711'));
    if (id !== 4711) expect(() => cacheDirectory({}, { ...user, id: 4711 })).toThrow(refusal);
  });
});
