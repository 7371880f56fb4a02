import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { datasetDigest } from '../../../../../shared/dataset/dataset.ts';
import { loadDataset } from '../../../../../shared/dataset/load-dataset.ts';
import { concatenate, imagesFile, labelsFile } from '../../../../fixtures/dataset/idx-files.ts';
import { jpegFiles } from '../../../../fixtures/dataset/jpeg-files.ts';
import { pngFile } from '../../../../fixtures/png-file.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function put(name: string, bytes: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}

const gray = { colourType: 0, bits: 8 } as const;
const png = (rows: number, columns: number, first: number) =>
  pngFile(gray, rows, columns, (row, column) => [(first + row * columns + column) % 256]);

const [labels, testLabels] = [
  [1, 0, 2, 1],
  [2, 0],
];
/** Writes pictures whose names give the order, and returns the digest of the same idx files. */
function putAll(
  names: readonly string[],
  halves: readonly [string, string] = ['train', 'test'],
): string {
  for (const [i, label] of labels.entries())
    put(`${halves[0]}/${names[label]}/${i}.png`, png(2, 3, 6 * i));
  for (const [i, label] of testLabels.entries())
    put(`${halves[1]}/${names[label]}/${i}.png`, png(2, 3, 100 + 6 * i));
  return datasetDigest(
    concatenate([
      imagesFile(4, 2, 3),
      labelsFile(labels),
      imagesFile(2, 2, 3, (i) => 100 + i),
      labelsFile(testLabels),
    ]),
  );
}

describe('folders of pictures', () => {
  test('become the same dataset as idx files, in the order of the file names', async () => {
    const digest = putAll(['bird', 'cat', 'dog']);
    put('train/cat/.DS_Store', 'x');
    put('train/Thumbs.db', 'x');
    const found = await loadDataset(folder);
    expect(found.digest).toBe(digest);
    expect(found.classNames).toEqual(['bird', 'cat', 'dog']);
  });

  test('may be called training and testing, with numbers as classes', async () => {
    const digest = putAll(['2', '9', '10'], ['training', 'testing']);
    const found = await loadDataset(folder);
    expect([found.digest, found.classNames.join()]).toEqual([digest, '2,9,10']);
  });

  test('have the order of labels.txt, which may name a class without pictures', async () => {
    const digest = putAll(['dog', 'cat', 'bird']);
    expect((await loadDataset(folder)).digest).not.toBe(digest);
    put('labels.txt', 'dog\ncat\nbird\nfish\n');
    const found = await loadDataset(folder);
    expect([found.digest, found.classNames[3]]).toEqual([digest, 'fish']);
  });

  test('with equal file names are in the order of the classes', async () => {
    for (const name of ['a', 'b', 'c']) put(`train/${name}/1.png`, png(1, 1, name.charCodeAt(0)));
    for (const name of ['a', 'b', 'c']) put(`train/${name}/0.png`, png(1, 1, 0));
    put('test/a/0.png', png(1, 1, 9));
    const { train } = await loadDataset(folder);
    expect([...train.labels]).toEqual([0, 1, 2, 0, 1, 2]);
    expect([...train.images]).toEqual([0, 0, 0, 97, 98, 99]);
  });

  test('may lack a test set if one is split off, with or without a folder "train"', async () => {
    const { train } = await (async () => {
      putAll(['bird', 'cat', 'dog']);
      rmSync(join(folder, 'test'), { recursive: true });
      await expect(loadDataset(folder)).rejects.toMatchObject({
        message: expect.stringContaining('no test set'),
      });
      return await loadDataset(folder, { testSplit: 0.5 });
    })();
    expect(train.samples).toBe(2);
    const own = await loadDataset(join(folder, 'train'), { testSplit: 0.5 });
    expect([...own.train.labels, ...own.test.labels]).toEqual(labels);
  });

  test('of any size and kind are made one size, and links to them are followed', async () => {
    const [{ bytes: jpeg }] = jpegFiles;
    put('train/a/0.png', png(4, 4, 0));
    put('train/b/1.jpeg', jpeg);
    put(
      'elsewhere/2',
      pngFile({ colourType: 6, bits: 8 }, 1, 1, () => [9, 9, 9, 255]),
    );
    symlinkSync('../../elsewhere/2', join(folder, 'train/b/2.png'));
    put('test/a/0.jpg', png(2, 2, 5));
    const imageSize = { rows: 2, columns: 2 };
    const said: string[] = [];
    const {
      rows,
      columns,
      train,
      test: testing,
    } = await loadDataset(folder, { imageSize, say: (note) => said.push(note) });
    expect(said).toEqual(['3 of 4 pictures had another size and were made 2 x 2 pixels']);
    expect([rows, columns, train.samples]).toEqual([2, 2, 3]);
    // The means of 0, 1, 4, 5 and so on, halves up.
    expect([...train.images.subarray(0, 4)]).toEqual([3, 5, 11, 13]);
    expect([...train.images.subarray(8)]).toEqual([9, 9, 9, 9]);
    expect([...testing.images]).toEqual([5, 6, 7, 8]);
    const implied = await loadDataset(folder, { implied: { imageSize } });
    expect(implied.train.images).toEqual(train.images);
  });

  test('and idx files alike are resized by --image-size', async () => {
    putAll(['bird', 'cat', 'dog']);
    const imageSize = { rows: 3, columns: 3 };
    const pictures = await loadDataset(folder, { imageSize });
    const idx = temporaryFolder();
    const files = {
      'train-images-idx3-ubyte': imagesFile(4, 2, 3),
      'train-labels-idx1-ubyte': labelsFile(labels),
      't10k-images-idx3-ubyte': imagesFile(2, 2, 3, (i) => 100 + i),
      't10k-labels-idx1-ubyte': labelsFile(testLabels),
    };
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(idx, name), bytes);
    const said: string[] = [];
    const resized = await loadDataset(idx, { imageSize, say: (note) => said.push(note) });
    expect(resized.digest).toBe(pictures.digest);
    expect(said).toEqual(['pictures of 2 x 3 pixels were made 3 x 3']);
  });
});

describe('a folder of pictures is rejected with the name of the file', () => {
  test.each<[string, (all: typeof put) => unknown, RegExp]>([
    [
      'that is damaged',
      (all) => all('train/cat/9.png', png(2, 3, 0).subarray(0, 50)),
      /train\/cat\/9\.png: it is a damaged PNG/,
    ],
    [
      'that is a damaged JPEG',
      (all) => all('train/cat/9.jpg', jpegFiles[0].bytes.subarray(0, 90)),
      /train\/cat\/9\.jpg: it is a damaged JPEG/,
    ],
    ['that is empty', (all) => all('test/dog/9.png', ''), /test\/dog\/9\.png: it is empty/],
    [
      'that is something else',
      (all) => all('train/dog/notes.txt', 'hello'),
      /notes\.txt: it is not a PNG or a JPEG/,
    ],
    [
      'that has another size',
      (all) => all('train/cat/9.png', png(3, 3, 0)),
      /9\.png has 3 x 3 pixels, but .*\/0\.png has 2 x 3/,
    ],
    [
      'that has another size, in the test set',
      (all) => [
        rmSync(join(folder, 'test'), { recursive: true }),
        all('test/cat/9.png', png(3, 3, 0)),
      ],
      /9\.png has 3 x 3 pixels, but/,
    ],
    [
      'that is in no folder',
      (all) => all('train/9.png', png(2, 3, 0)),
      /train\/9\.png: it is not in the folder of a class/,
    ],
    [
      'of a class that is only tested',
      (all) => all('test/fish/9.png', png(2, 3, 0)),
      /test\/fish: it is none of the classes/,
    ],
    [
      'that is a pipe',
      () => spawnSync('mkfifo', [join(folder, 'train/cat/9.png')]),
      /9\.png cannot be read: it is a pipe/,
    ],
    ['of an empty class', () => mkdirSync(join(folder, 'train/fish')), /train\/fish: it is empty/],
    [
      'of a folder within a class',
      (all) => all('train/cat/more/9.png', png(2, 3, 0)),
      /train\/cat\/more cannot be read: it is a folder/,
    ],
    [
      'whose name is no class name',
      (all) => all('train/\u202e/9.png', png(2, 3, 0)),
      /its name is not a class name/,
    ],
    [
      'of a second form',
      (all) => all('train.csv', '1,2'),
      /several datasets: train\.csv, folders of pictures/,
    ],
    [
      'of a second training set',
      (all) => all('training/cat/9.png', png(2, 3, 0)),
      /several files: train, training/,
    ],
  ])('%s', async (_what, change, message) => {
    putAll(['bird', 'cat', 'dog']);
    change(put);
    await expect(loadDataset(folder)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(message),
      fix: expect.any(String),
    });
  });

  test('if it is too large, before it is decoded', async () => {
    const all = putAll(['bird', 'cat', 'dog']);
    expect((await loadDataset(folder, { maxBytes: 90 })).digest).toBe(all);
    await expect(loadDataset(folder, { maxBytes: 40 })).rejects.toMatchObject({ code: 'LIMIT' });
    const head = png(2, 3, 0);
    head.writeUInt32BE(60_000, 16);
    head.writeUInt32BE(60_000, 20);
    put('train/bird/-1.png', head);
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringMatching(/-1\.png: it has 60000 x 60000 pixels/),
    });
    put('train/bird/-1.png', png(300, 300, 0));
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('300 x 300 pixels, more than 65536'),
      fix: expect.stringContaining('--image-size'),
    });
  });

  test('if it has a single class, or no pictures', async () => {
    put('train/cat/1.png', png(2, 2, 0));
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('has 1 folders of pictures'),
    });
    mkdirSync(join(folder, 'other/train'), { recursive: true });
    await expect(loadDataset(join(folder, 'other'))).rejects.toMatchObject({ code: 'DATA' });
  });
});
