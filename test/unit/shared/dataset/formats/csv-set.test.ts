import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { datasetDigest } from '../../../../../shared/dataset/dataset.ts';
import { loadDataset } from '../../../../../shared/dataset/load-dataset.ts';
import { ClusterError } from '../../../../../shared/errors.ts';
import { concatenate, imagesFile, labelsFile } from '../../../../fixtures/dataset/idx-files.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function written(bytes: Uint8Array | string, name = 'train.csv'): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** Four training and two test images of 2 x 2 pixels. */
const [labels, testLabels] = [
  [3, 0, 9, 1],
  [7, 2],
];
const pixelOf = (i: number) => (37 * i) % 256;
const idx = concatenate([
  imagesFile(4, 2, 2, pixelOf),
  labelsFile(labels),
  imagesFile(2, 2, 2, (i) => pixelOf(16 + i)),
  labelsFile(testLabels),
]);
const digest = datasetDigest(idx);
const line = (label: number, i: number) =>
  [label, ...Array.from({ length: 4 }, (_, k) => pixelOf(4 * i + k))].join(',');
const header = 'label,pixel0,pixel1,pixel2,pixel3\n';
const rows = labels.map((label, i) => `${line(label, i)}\n`).join('');
const testRows = testLabels.map((label, i) => `${line(label, 4 + i)}\n`).join('');
const unlabelled = 'pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n';

describe('CSV files', () => {
  test.each<[string, string, string]>([
    ["Kaggle's header", header + rows, header + testRows],
    ['no header', rows, testRows],
    [
      'a byte order mark, quotes, spaces and CRLF',
      `\ufeff${`"label", "a", b,c,d\n${rows}`.replaceAll('\n', '\r\n')}`,
      `${testRows.replaceAll(',', ' , ')}\r\n\r\n`,
    ],
    [
      'no line break at the end, and fractions of zero',
      `${header}${rows}`.trimEnd(),
      testRows.replaceAll(/(\d)(,|\n)/g, '$1.0$2'),
    ],
    ['line ends of old systems', rows.replaceAll('\n', '\r'), testRows],
    ['the size in the names', header.replace(/pixel0.*3/, '1x1,1x2,2x1,2x2') + rows, testRows],
    [
      'the labels in the last column',
      `a,b,c,d,Class\n${rows.replaceAll(/^(\d),(.*)$/gm, '$2,$1')}`,
      testRows,
    ],
  ])('with %s become the same dataset as idx files', async (_what, train, testing) => {
    written(train, 'mnist_train.csv');
    written(testing, 'mnist_test.csv');
    written('ImageId,Label\n1,0\n', 'sample_submission.csv');
    expect((await loadDataset(folder)).digest).toBe(digest);
  });

  test('may be compressed, and may be a single file from which the test set is taken', async () => {
    const all = gzipSync(header + rows + testRows);
    const path = written(all, 'all.csv');
    const said: string[] = [];
    const say = (note: string) => said.push(note);
    for (const [place, testSplit] of [
      [path, 0.33],
      [folder, 1 / 3],
    ] as const)
      expect((await loadDataset(place, { testSplit, say })).digest).toBe(digest);
    expect(said.join()).toMatch(/the last 2 of 6 samples are the test set/);
    await expect(loadDataset(path)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('has a training set, but no test set'),
      fix: expect.stringContaining('--test-split'),
    });
    for (const [testSplit, which] of [
      [0.99, 'training'],
      [1e-9, 'test'],
    ] as const) {
      const none = testSplit === 1e-9 ? 1e-17 : testSplit;
      await expect(loadDataset(path, { testSplit: none })).rejects.toMatchObject({
        message: expect.stringContaining(`no sample in the ${which} set`),
      });
    }
  });

  test('are rejected if test.csv has no labels, unless the data is split', async () => {
    written(header + rows + testRows);
    const name = written(unlabelled, 'test.csv');
    await expect(loadDataset(folder)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(/test\.csv has no labels.*Kaggle/),
      fix: expect.stringContaining('--test-split 0.1'),
    });
    expect((await loadDataset(folder, { testSplit: 0.33 })).digest).toBe(digest);
    writeFileSync(name, header + testRows);
    await expect(loadDataset(folder, { testSplit: 0.33 })).rejects.toMatchObject({
      message: expect.stringContaining('has a test set, so --test-split does not apply'),
    });
    rmSync(name);
    written(unlabelled.replace(/.*\n/, ''));
    await expect(loadDataset(folder, { testSplit: 0.5 })).rejects.toMatchObject({
      message: expect.stringMatching(/train\.csv has no labels/),
    });
  });

  test("have EMNIST's pictures upright and its letters from class 0", async () => {
    written('26,1,2,3,4\n1,5,6,7,8\n', 'emnist-letters-train.csv');
    written('2,1,2,3,4\n', 'emnist-letters-test.csv');
    const { train, test: testing, classNames } = await loadDataset(folder);
    expect([...train.images]).toEqual([1, 3, 2, 4, 5, 7, 6, 8]);
    expect([...train.labels, ...testing.labels]).toEqual([25, 0, 1]);
    expect(classNames[25]).toBe('Z');
  });

  test("have EMNIST's letters from class 0 even without a Z", async () => {
    written('1,1,2,3,4\n3,5,6,7,8\n', 'emnist-letters-train.csv');
    written('2,1,2,3,4\n', 'emnist-letters-test.csv');
    const { train, test: testing, classNames } = await loadDataset(folder);
    const names = [...train.labels, ...testing.labels].map((label) => classNames[label]);
    expect(names).toEqual(['A', 'C', 'B']);
  });

  test('may be split where 1 - X is not exact', async () => {
    const path = written('0,1,2,3,4\n'.repeat(10), 'all.csv');
    const { train, test: testing } = await loadDataset(path, { testSplit: 0.9 });
    expect([train.samples, testing.samples]).toEqual([1, 9]);
  });

  test('are rejected in UTF-16', async () => {
    written(Buffer.from('\ufeff0,1,2,3,4\n', 'utf16le'), 'train.csv');
    await expect(loadDataset(folder, { testSplit: 0.5 })).rejects.toMatchObject({
      message: expect.stringMatching(/train\.csv.*UTF-16/),
      fix: expect.stringContaining('UTF-8'),
    });
  });

  test('are rejected beside those of another dataset, and beside another form', async () => {
    written(rows, 'a.csv');
    written(rows, 'b.csv');
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('several files: a.csv, b.csv'),
    });
    rmSync(join(folder, 'b.csv'));
    written('PK', 'mnist.npz');
    await expect(loadDataset(folder)).rejects.toMatchObject({
      message: expect.stringContaining('several datasets: mnist.npz, a.csv'),
    });
  });
});

describe('a CSV file is rejected by name and line', () => {
  test.each<[string, string | Uint8Array, RegExp]>([
    [
      'with a value above 255',
      `${header}${rows}1,2,256,4,5\n`,
      /train\.csv, line 6: value 3: .* from 0 to 255/,
    ],
    ['with a negative value', `${rows}1,-2,3,4,5\n`, /train\.csv, line 5: value 2: "-"/],
    ['with a fraction', `${header}1,2,3.5,4,5\n`, /line 2: value 3: it is not a whole number/],
    ['with a word', `${header}1,2,x,4,5\n`, /line 2: value 3: "x"/],
    ['with a label that is a word', `${header}seven,2,3,4,5\n`, /line 2: value 1: "s"/],
    ['with an empty value', `${header}1,2,,4,5\n`, /line 2: value 3: it is empty/],
    [
      'with a short line',
      `${header}${rows}1,2,3,4\n`,
      /line 6: it has 4 values, but the first line has 5/,
    ],
    ['with a long line', `${header}${rows}1,2,3,4,5,6,7\n`, /line 6: it has more than 5 values/],
    ['with an empty line within', `${header}${rows}\n${rows}`, /line 6: it is empty/],
    ['with two numbers in a value', `${header}1,2 3,3,4,5\n`, /line 2: value 2: two numbers/],
    ['with semicolons', rows.replaceAll(',', ';'), /line 1: it has one value/],
    ['with pixels that are no square', 'label,a,b,c\n1,2,3,4\n', /line 1: it has 3 pixels/],
    ['with a size that is not its own', 'label,a,b,c,3x3\n1,2,3,4,5\n', /line 1: it has 4 pixels/],
    [
      'without a name for the labels',
      'number,a,b,c,d\n1,2,3,4,5\n',
      /line 1: no column is called "label"/,
    ],
    [
      'with a label that has no class',
      `${header}${rows}1,2,3,4,5\n77,2,3,4,5\n`,
      /train\.csv, line 7: the label is 77/,
    ],
    ['with only a header', header, /train\.csv has no samples/],
    ['that is empty', '', /train\.csv, line 1: it has one value/],
    ['with a binary file', Buffer.from([1, 44, 0, 255, 200]), /train\.csv, line 1/],
    ['with too many columns', `label${',a'.repeat(70_000)}\n`, /line 1: it has 70001 values/],
    ['with an endless line', 'a'.repeat(2 ** 20), /line 1: it is longer than/],
    [
      'with a damaged gzip file',
      gzipSync(rows).subarray(0, 30),
      /train\.csv is not an intact gzip file/,
    ],
  ])('%s', async (_what, content, message) => {
    const error = expect.stringMatching(message);
    await expect(loadDataset(written(content), { testSplit: 0.25 })).rejects.toMatchObject({
      code: 'DATA',
      message: error,
    });
  });

  test('when it exceeds the limit, before a gzip bomb is unpacked', async () => {
    const line = `1${',0'.repeat(784)}\n`;
    const bomb = gzipSync(line.repeat(20_000));
    const before = process.resourceUsage().maxRSS;
    await expect(
      loadDataset(written(bomb), { testSplit: 0.5, maxBytes: 2 ** 20 }),
    ).rejects.toMatchObject({ code: 'LIMIT', message: expect.stringContaining('train.csv, line') });
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(2 ** 16);
  });

  test('never with a crash, and text that is cut anywhere is read alike', async () => {
    const text = fc.stringMatching(/^[0-9,. \r\n"a-]{0,40}$/);
    await fc.assert(
      fc.asyncProperty(text, async (content) => {
        const error: unknown = await loadDataset(written(content), { testSplit: 0.5 }).then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error !== undefined) expect(error).toBeInstanceOf(ClusterError);
      }),
      { numRuns: 200 },
    );
    // Each piece that is read ends within a line.
    const long = Array.from({ length: 90_000 }, (_, i) => `${i % 10},${i % 256},0,255,7\n`);
    const { train, test: testing } = await loadDataset(written(long.join('')), { testSplit: 0.5 });
    expect([train.samples, testing.samples]).toEqual([45_000, 45_000]);
    expect(train.labels.every((label, i) => label === i % 10)).toBe(true);
    expect(
      testing.images.every((pixel, i) => pixel === [(45_000 + (i >> 2)) % 256, 0, 255, 7][i % 4]),
    ).toBe(true);
  });
});
