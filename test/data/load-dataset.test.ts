import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadDataset } from '../../data/load-dataset.ts';
import { MNIST_DIGEST } from '../../shared/dataset.ts';
import { concatenate, imagesFile, labelsFile, tinyBytes, tinyFiles } from '../shared/idx-files.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mnist-dist-data-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function put(files: Readonly<Record<string, Uint8Array | string>>): Promise<void> {
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, name), bytes);
}

function md5(...parts: Uint8Array[]): string {
  return createHash('md5').update(concatenate(parts)).digest('hex');
}

describe('the embedded MNIST', () => {
  it('is the real one: published MD5s and first labels', async () => {
    const { bytes, digest, name, rows, columns, classNames, train, test } = await loadDataset(undefined);
    expect({ digest, name, rows, columns }).toEqual({
      digest: MNIST_DIGEST,
      name: 'MNIST',
      rows: 28,
      columns: 28,
    });
    expect([train.samples, test.samples, classNames.join('')]).toEqual([60_000, 10_000, '0123456789']);
    expect([...train.labels.subarray(0, 5)]).toEqual([5, 0, 4, 1, 9]);
    expect([...test.labels.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    const ends = [47_040_016, 47_100_024, 54_940_040, 54_950_048];
    const parts = ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
    expect(bytes).toHaveLength(54_950_048);
    expect(parts.map((part) => md5(part))).toEqual([
      '6bbc9ace898e44ae57da46a324031adb',
      'a25bea736e30d166cdddb491f175f624',
      '2646ac647ad5339dbf082846283269ea',
      '27ae3e4e09519cfbb04c329615203637',
    ]);
  });
});

describe('a folder', () => {
  it('is loaded plain, zipped or mixed, to the same bytes', async () => {
    await put(tinyFiles);
    const plain = await loadDataset(folder);
    expect(Buffer.compare(plain.bytes, tinyBytes)).toBe(0);
    for (const name of ['train-images-idx3-ubyte', 't10k-labels-idx1-ubyte'] as const) {
      await rm(join(folder, name));
      await put({ [`${name}.gz`]: gzipSync(tinyFiles[name]) });
    }
    expect(await loadDataset(folder)).toEqual(plain);
  });

  it('may name its classes', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `kind ${i}`);
    await put({
      ...tinyFiles,
      't10k-labels-idx1-ubyte': labelsFile([11, 10]),
      'labels.txt': `${names.join('\n')}\n`,
    });
    expect((await loadDataset(folder)).classNames).toEqual(names);
  });

  const image = 'train-images-idx3-ubyte';
  const whole = tinyFiles[image];
  it.each<[string, Readonly<Record<string, Uint8Array | string>>, string]>([
    ['a truncated file', { [image]: whole.subarray(0, 20) }, `${image} is truncated`],
    ['trailing bytes', { [image]: concatenate([whole, Uint8Array.of(0)]) }, `${image} has trailing bytes`],
    ['swapped files', { [image]: tinyFiles['train-labels-idx1-ubyte'] }, `${image} holds labels`],
    [
      'a wrong magic number',
      { [image]: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      `${image} begins with the magic number 0x01020304`,
    ],
    [
      'counts that differ',
      { [image]: imagesFile(4, 2, 3) },
      `${image} holds 4 images, but train-labels-idx1-ubyte 3 labels`,
    ],
    [
      'a label out of range',
      { 't10k-labels-idx1-ubyte': labelsFile([1, 77]) },
      't10k-labels-idx1-ubyte: label 1 is 77',
    ],
    ['a bad labels.txt', { 'labels.txt': 'a\n\nb\n' }, 'labels.txt, line 2'],
    [
      'a huge labels.txt',
      { 'labels.txt': 'a'.repeat(70_000) },
      'labels.txt is not a file of at most 65536 bytes',
    ],
  ])('is refused for %s, by the path of the file', async (_what, change, message) => {
    await put({ ...tinyFiles, ...change });
    await expect(loadDataset(folder)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining(message),
    });
  });

  it('is refused when a gzip file is cut or damaged', async () => {
    const packed = gzipSync(whole);
    await put({ ...tinyFiles });
    await rm(join(folder, image));
    for (const bytes of [
      packed.subarray(0, packed.length - 5),
      Buffer.from('no gzip'),
      packed.subarray(0, 0),
    ]) {
      await put({ [`${image}.gz`]: bytes });
      await expect(loadDataset(folder)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringContaining(`${image}.gz`),
      });
    }
  });

  it('is refused when a file is missing or no file, or the folder is none', async () => {
    await expect(loadDataset(join(folder, 'none'))).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('none does not exist'),
    });
    await put({ x: 'x' });
    await expect(loadDataset(join(folder, 'x'))).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('is not a folder'),
    });
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining(`neither ${image} nor ${image}.gz`),
    });
    await put(tinyFiles);
    await rm(join(folder, image));
    await mkdir(join(folder, image));
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('is not a regular file'),
    });
  });

  it('is refused above the limit, before a gzip bomb is unpacked', async () => {
    await put(tinyFiles);
    await expect(loadDataset(folder, tinyBytes.length)).resolves.toBeDefined();
    await expect(loadDataset(folder, tinyBytes.length - 1)).rejects.toMatchObject({ code: 'LIMIT' });
    await rm(join(folder, image));
    await put({ [`${image}.gz`]: gzipSync(new Uint8Array(10_000_000)) });
    await expect(loadDataset(folder, 1_000_000)).rejects.toMatchObject({
      code: 'LIMIT',
      message: expect.stringContaining('exceeds 1000000 bytes'),
    });
  });
});
