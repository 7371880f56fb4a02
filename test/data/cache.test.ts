import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheDirectory, cachedDataset, storeDataset } from '../../data/cache.ts';
import { datasetDigest } from '../../shared/dataset.ts';
import { tinyBytes } from '../shared/idx-files.ts';

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'mnist-dist-cache-'));
});
afterEach(() => rm(cache, { recursive: true, force: true }));

const digest = datasetDigest(tinyBytes);

describe('the cache of datasets', () => {
  it('gives back what was stored, and nothing else', async () => {
    expect(await cachedDataset(digest, cache)).toBeUndefined();
    await storeDataset(digest, tinyBytes, cache);
    await storeDataset(digest, tinyBytes, cache);
    expect(Buffer.compare((await cachedDataset(digest, cache)) ?? Buffer.alloc(0), tinyBytes)).toBe(0);
    expect(await readdir(join(cache, 'datasets'))).toEqual([digest]);
  });

  it('removes what was damaged', async () => {
    await storeDataset(digest, tinyBytes, cache);
    await writeFile(join(cache, 'datasets', digest), 'damaged');
    expect(await cachedDataset(digest, cache)).toBeUndefined();
    await expect(stat(join(cache, 'datasets', digest))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses bytes of another digest and digests that are paths', async () => {
    await expect(storeDataset('0'.repeat(64), tinyBytes, cache)).rejects.toMatchObject({ code: 'DATA' });
    await expect(cachedDataset('../x', cache)).rejects.toMatchObject({ code: 'DATA' });
    expect(await readdir(cache)).toEqual([]);
  });

  it('names the file that could not be written', async () => {
    await writeFile(join(cache, 'file'), '');
    await expect(storeDataset(digest, tinyBytes, join(cache, 'file'))).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(join(cache, 'file', 'datasets')),
    });
  });

  it('lies where the environment says', () => {
    expect(cacheDirectory({ MNIST_DIST_CACHE: '/a', XDG_CACHE_HOME: '/b' })).toBe('/a');
    expect(cacheDirectory({ MNIST_DIST_CACHE: '', XDG_CACHE_HOME: '/b' })).toBe('/b/mnist-dist');
    expect(cacheDirectory({})).toBe(join(homedir(), '.cache', 'mnist-dist'));
  });
});
