import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadDataset } from '../../../../shared/dataset/load-dataset.ts';
import { datasetDigest, MNIST_DIGEST } from '../../../../shared/dataset/dataset.ts';
import { concatenate, imagesFile, labelsFile } from '../../../fixtures/dataset/idx-files.ts';
import { tinyBytes, tinyFiles } from '../../../fixtures/dataset/tiny-dataset.ts';

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
  it('has the published MD5 sums and first labels', async () => {
    const { bytes, digest, name, rows, columns, classNames, train, test } =
      await loadDataset(undefined);
    expect({ digest, name, rows, columns }).toEqual({
      digest: MNIST_DIGEST,
      name: 'MNIST',
      rows: 28,
      columns: 28,
    });
    expect([train.samples, test.samples, classNames.join('')]).toEqual([
      60_000,
      10_000,
      '0123456789',
    ]);
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

const image = 'train-images-idx3-ubyte';
const whole = tinyFiles[image];

describe('a folder', () => {
  it('yields the same bytes from plain, gzipped or mixed files', async () => {
    await put(tinyFiles);
    const plain = await loadDataset(folder);
    expect(Buffer.compare(plain.bytes, tinyBytes)).toBe(0);
    for (const name of ['train-images-idx3-ubyte', 't10k-labels-idx1-ubyte'] as const) {
      await rm(join(folder, name));
      await put({ [`${name}.gz`]: gzipSync(tinyFiles[name]) });
    }
    expect(await loadDataset(folder)).toEqual(plain);
  });

  const dotted = (name: string) => name.replace('-idx', '.idx');
  const emnist = (name: string) => `emnist-letters-${name.replace('t10k', 'test')}`;
  it.each<[string, (name: string) => string]>([
    ['dots for dashes', dotted],
    ['a prefix', (name) => `letters-${name.replace('t10k', 'test')}`],
    ['names as torchvision unpacks them', (name) => join('MNIST', 'raw', name)],
    ["names in torchvision's folder of one dataset", (name) => join('raw', name)],
    ['plain files whose names end in .gz', (name) => `${name}.gz`],
    ['a folder with the name of each file', (name) => join(name, name)],
    [
      'a folder with the name of each file, and dots in the names inside',
      (name) => join(name, dotted(name)),
    ],
  ])('is loaded with %s', async (_what, rename) => {
    const entries = Object.entries(tinyFiles).map(
      ([name, bytes]) => [rename(name), bytes] as const,
    );
    for (const [name] of entries) await mkdir(join(folder, name, '..'), { recursive: true });
    await put(Object.fromEntries(entries));
    expect(Buffer.compare((await loadDataset(folder)).bytes, tinyBytes)).toBe(0);
  });

  it("has EMNIST's pictures upright and its letters from class 0, and says so", async () => {
    const stored = {
      ...tinyFiles,
      'train-labels-idx1-ubyte': labelsFile([1, 26, 9]),
      't10k-labels-idx1-ubyte': labelsFile([7, 2]),
    };
    await put(
      Object.fromEntries(Object.entries(stored).map(([name, file]) => [emnist(name), file])),
    );
    const said: string[] = [];
    const { rows, columns, train, test, classNames, digest } = await loadDataset(folder, {
      say: (note) => said.push(note),
    });
    expect([rows, columns, classNames.length, classNames[25]]).toEqual([3, 2, 26, 'Z']);
    // The pixels of the first picture are 0 to 5, in two rows of three.
    expect([...train.images.subarray(0, 6)]).toEqual([0, 3, 1, 4, 2, 5]);
    expect([...train.labels, ...test.labels]).toEqual([0, 25, 8, 6, 1]);
    expect(said.join()).toMatch(/transposed.*upright.*labels 1 to 26 were made 0 to 25/);
    // With a name for class 0, as older versions required, the labels stay.
    await put({ 'labels.txt': ['none', ...classNames].join('\n') });
    expect([...(await loadDataset(folder)).train.labels]).toEqual([1, 26, 9]);
    // A run of an older version has the files as they are.
    const old = datasetDigest(concatenate(Object.values(stored)));
    expect((await loadDataset(folder, { wanted: old })).digest).toBe(old);
    expect(digest).not.toBe(old);
  });

  it.each([
    ['byclass', 62],
    ['balanced', 47],
    ['digits', 10],
  ])("knows the classes of EMNIST's %s", async (part, classes) => {
    const name = (file: string) => `emnist-${part}-${file.replace('t10k', 'test')}`;
    await put(Object.fromEntries(Object.entries(tinyFiles).map(([f, file]) => [name(f), file])));
    expect((await loadDataset(folder)).classNames).toHaveLength(classes);
    await put({ [name('t10k-labels-idx1-ubyte')]: labelsFile([classes, 0]) });
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining(`the label is ${classes}`),
    });
  });

  it('may have all parts of EMNIST; the beginning of a name chooses one', async () => {
    for (const part of ['mnist', 'digits'])
      for (const [file, bytes] of Object.entries(tinyFiles))
        await put({ [`emnist-${part}-${file.replace('t10k', 'test')}.gz`]: gzipSync(bytes) });
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('several datasets'),
      fix: expect.stringContaining('DIR/emnist-letters'),
    });
    expect((await loadDataset(join(folder, 'emnist-digits'))).train.samples).toBe(3);
    await expect(loadDataset(join(folder, 'emnist-letters'))).rejects.toMatchObject({
      message: expect.stringContaining('emnist-letters does not exist'),
    });
    await put({ 'emnist-letters-train.csv': '1,2,3,4,5\n26,2,3,4,5\n' });
    await put({ 'emnist-letters-test.csv': '2,2,3,4,5\n' });
    expect((await loadDataset(join(folder, 'emnist-letters'))).classNames).toHaveLength(26);
  });

  it('is rejected if torchvision put several datasets into it', async () => {
    for (const name of ['MNIST', 'FashionMNIST']) {
      await mkdir(join(folder, name, 'raw'), { recursive: true });
      for (const [file, bytes] of Object.entries(tinyFiles))
        await writeFile(join(folder, name, 'raw', file), bytes);
    }
    await expect(loadDataset(folder)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(/several datasets: .*FashionMNIST\/raw, .*MNIST\/raw/),
    });
    expect((await loadDataset(join(folder, 'MNIST'))).digest).toBe(datasetDigest(tinyBytes));
  });

  it('is loaded through symlinks, and from gzipped files whose names lack .gz', async () => {
    await put(
      Object.fromEntries(Object.entries(tinyFiles).map(([name, file]) => [name, gzipSync(file)])),
    );
    await rename(join(folder, image), join(folder, 'elsewhere'));
    await symlink('elsewhere', join(folder, image));
    expect(Buffer.compare((await loadDataset(folder)).bytes, tinyBytes)).toBe(0);
  });

  it('may contain a file twice if both copies are equal', async () => {
    await put({ ...tinyFiles, [dotted(image)]: whole, [`${image}.gz`]: gzipSync(whole) });
    expect(Buffer.compare((await loadDataset(folder)).bytes, tinyBytes)).toBe(0);
    for (const other of [imagesFile(3, 2, 3, (i) => i + 1), whole.subarray(0, -1), [...whole, 0]]) {
      await put({ [`${image}.gz`]: gzipSync(Uint8Array.from(other)) });
      await expect(loadDataset(folder)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringMatching(new RegExp(`${image} and .*${image}.gz differ`)),
      });
    }
  });

  it('is loaded despite the files that macOS adds', async () => {
    await put({ ...tinyFiles, [`._${image}`]: 'not a picture', '.DS_Store': '' });
    expect((await loadDataset(folder)).train.samples).toBeGreaterThan(0);
  });

  it('is rejected if it has files from several datasets, and the message lists them', async () => {
    await put({ ...tinyFiles, [emnist(image)]: whole });
    const named = expect.stringContaining(`several datasets: ${emnist(image)}, t10k-images`);
    await expect(loadDataset(folder)).rejects.toMatchObject({ code: 'DATA', message: named });
  });

  it('is rejected immediately if a file is a pipe or a device', async () => {
    await put(tinyFiles);
    for (const name of [image, 'labels.txt']) {
      await rm(join(folder, name), { force: true });
      for (const make of [
        () => Promise.resolve(spawnSync('mkfifo', [join(folder, name)])),
        () => symlink('/dev/zero', join(folder, name)),
      ]) {
        await make();
        await expect(loadDataset(folder)).rejects.toMatchObject({
          code: 'DATA',
          message: expect.stringContaining(name),
        });
        await rm(join(folder, name));
      }
      await put(tinyFiles);
    }
  });

  it.each<[string, string | Uint8Array]>([
    ['blank lines at the end', 'one\ntwo\nthree\n\n  \n'],
    ['a byte order mark and CRLF', '\ufeffone\r\ntwo\r\nthree\r\n\r\n'],
    ['CR line endings', 'one\rtwo\rthree'],
    ['UTF-16 text', Buffer.from('\ufeffone\r\ntwo\r\nthree\r\n', 'utf16le')],
  ])('may name its classes in a labels.txt with %s', async (_what, labels) => {
    const few = {
      'train-labels-idx1-ubyte': labelsFile([0, 1, 2]),
      't10k-labels-idx1-ubyte': labelsFile([1, 2]),
    };
    await put({ ...tinyFiles, ...few, 'labels.txt': labels });
    expect((await loadDataset(folder)).classNames).toEqual(['one', 'two', 'three']);
  });

  it('may name more than ten classes', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `kind ${i}`);
    await put({
      ...tinyFiles,
      't10k-labels-idx1-ubyte': labelsFile([11, 10]),
      'labels.txt': `${names.join('\n')}\n`,
    });
    expect((await loadDataset(folder)).classNames).toEqual(names);
  });

  it.each<[string, Readonly<Record<string, Uint8Array | string>>, string]>([
    ['a truncated file', { [image]: whole.subarray(0, 20) }, `${image} is truncated`],
    [
      'trailing bytes',
      { [image]: concatenate([whole, Uint8Array.of(0)]) },
      `${image} has trailing bytes`,
    ],
    ['swapped files', { [image]: tinyFiles['train-labels-idx1-ubyte'] }, `${image} has labels`],
    [
      'a wrong magic number',
      { [image]: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      `${image} begins with 0x01020304`,
    ],
    [
      'counts that differ',
      { [image]: imagesFile(4, 2, 3) },
      `${image} has 4 images, but train-labels-idx1-ubyte has 3 labels`,
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
      'more than 65536 (MAX_LABELS_FILE_BYTES)',
    ],
    [
      'a labels.txt in a different encoding',
      { 'labels.txt': Buffer.from('é\nü\n', 'latin1') },
      'is not valid UTF-8',
    ],
    [
      'a zip archive',
      { [image]: Buffer.from('PK\u0003\u0004 and more') },
      'begins with 0x504b0304',
    ],
    ['a file that was gzipped twice', { [image]: gzipSync(gzipSync(whole)) }, 'begins with 0x1f8b'],
  ])(
    "is rejected for %s, and the message contains the file's path",
    async (_what, change, message) => {
      await put({ ...tinyFiles, ...change });
      await expect(loadDataset(folder)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringContaining(message),
      });
    },
  );

  it('is rejected when a gzip file is truncated or damaged', async () => {
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

  it('is rejected when it or one of its files is missing or of the wrong kind', async () => {
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
      message: expect.stringContaining(`has no ${image}`),
    });
    await put(tinyFiles);
    await rm(join(folder, image));
    await mkdir(join(folder, image));
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining(`has no ${image}`),
    });
  });

  it('is rejected when a gzip file has the wrong size, without unpacking all of it', async () => {
    await put(tinyFiles);
    await rm(join(folder, image));
    const zeros = gzipSync(Buffer.alloc(2 ** 24));
    const gigabyte = Buffer.concat([gzipSync(whole), ...Array<Buffer>(64).fill(zeros)]);
    const before = process.resourceUsage().maxRSS;
    for (const [bytes, what] of [
      [gigabyte, 'has trailing bytes'],
      [gzipSync(whole.subarray(0, -1)), 'is truncated'],
    ] as const) {
      await put({ [`${image}.gz`]: bytes });
      await expect(loadDataset(folder)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringContaining(`${image}.gz ${what}`),
      });
    }
    // In KiB: a tenth of the unpacked size.
    expect(process.resourceUsage().maxRSS - before).toBeLessThan((2 ** 30 / 1024) * 0.1);
  });

  it('is rejected if it exceeds the limit, before a gzip bomb is unpacked', async () => {
    await put(tinyFiles);
    await expect(loadDataset(folder, { maxBytes: tinyBytes.length })).resolves.toBeDefined();
    await expect(loadDataset(folder, { maxBytes: tinyBytes.length - 1 })).rejects.toMatchObject({
      code: 'LIMIT',
    });
    await rm(join(folder, image));
    await put({ [`${image}.gz`]: gzipSync(imagesFile(10_000, 28, 28).subarray(0, 1000)) });
    await expect(loadDataset(folder, { maxBytes: 1_000_000 })).rejects.toMatchObject({
      code: 'LIMIT',
      message: expect.stringContaining('more than 1000000'),
    });
  });
});
