import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { datasetDigest } from '../../../../../shared/dataset/dataset.ts';
import { loadDataset } from '../../../../../shared/dataset/load-dataset.ts';
import { ClusterError } from '../../../../../shared/errors.ts';
import { npyFile, numpyFile, zipFile } from '../../../../fixtures/dataset/npz-file.ts';
import { tinyBytes, tinyFiles } from '../../../../fixtures/dataset/tiny-dataset.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

function written(bytes: Uint8Array, name = 'mnist.npz'): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const digest = datasetDigest(tinyBytes);
const [trainImages, trainLabels, testImages, testLabels] = [
  tinyFiles['train-images-idx3-ubyte'].subarray(16),
  tinyFiles['train-labels-idx1-ubyte'].subarray(8),
  tinyFiles['t10k-images-idx3-ubyte'].subarray(16),
  tinyFiles['t10k-labels-idx1-ubyte'].subarray(8),
];
const arrays: Readonly<Record<string, Buffer>> = {
  x_train: npyFile('|u1', '(3, 2, 3)', trainImages),
  y_train: npyFile('|u1', '(3,)', trainLabels),
  x_test: npyFile('|u1', '(2, 2, 3)', testImages),
  y_test: npyFile('|u1', '(2,)', testLabels),
};

function npz(change: Readonly<Record<string, Buffer | undefined>> = {}): Buffer {
  const entries = Object.entries({ ...arrays, ...change });
  return zipFile(
    entries.flatMap(([name, bytes]) =>
      bytes === undefined ? [] : [{ name: `${name}.npy`, bytes }],
    ),
  );
}

describe("Keras' mnist.npz", () => {
  test('becomes the same dataset as idx files, given itself or by its folder', async () => {
    const path = written(numpyFile);
    expect((await loadDataset(path)).digest).toBe(digest);
    expect((await loadDataset(folder)).digest).toBe(digest);
    written(Buffer.from('a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n'), 'labels.txt');
    expect((await loadDataset(path)).classNames.join('')).toBe('abcdefghij');
  });

  const wide = (
    values: Uint8Array,
    bytes: number,
    put: (view: DataView, at: number, v: number) => void,
  ) => {
    const data = new Uint8Array(values.length * bytes);
    for (const [i, value] of values.entries()) put(new DataView(data.buffer), i * bytes, value);
    return data;
  };
  test.each<[string, Readonly<Record<string, Buffer | undefined>>]>([
    [
      'names that are spelled out',
      {
        x_train: undefined,
        y_train: undefined,
        train_images: arrays['x_train'],
        train_labels: arrays['y_train'],
      },
    ],
    [
      'one channel, and labels in a column',
      {
        x_train: npyFile('|u1', '(3, 2, 3, 1)', trainImages),
        y_train: npyFile('|u1', '(3, 1)', trainLabels),
      },
    ],
    [
      'integers of 64 bits',
      {
        y_train: npyFile(
          '<i8',
          '(3,)',
          wide(trainLabels, 8, (view, at, v) => view.setBigInt64(at, BigInt(v), true)),
        ),
      },
    ],
    [
      'big-endian integers',
      {
        y_test: npyFile(
          '>i2',
          '(2,)',
          wide(testLabels, 2, (view, at, v) => view.setInt16(at, v)),
        ),
      },
    ],
    [
      'whole numbers as floats',
      {
        x_test: npyFile(
          '<f4',
          '(2, 2, 3)',
          wide(testImages, 4, (view, at, v) => view.setFloat32(at, v, true)),
        ),
      },
    ],
    ['an array that is not used', { x_val: npyFile('|u1', '(1,)', Uint8Array.of(1)) }],
  ])('may have %s', async (_what, change) => {
    expect((await loadDataset(written(npz(change)))).digest).toBe(digest);
  });

  test('may have square images in rows', async () => {
    const flat = npz({
      x_train: npyFile('|u1', '(3, 4)', trainImages.subarray(0, 12)),
      x_test: npyFile('|u1', '(2, 4)', testImages.subarray(0, 8)),
    });
    expect(await loadDataset(written(flat))).toMatchObject({ rows: 2, columns: 2 });
  });

  test('is one of several files in a folder only if it is given itself', async () => {
    const path = written(numpyFile);
    written(numpyFile, 'other.npz');
    await expect(loadDataset(folder)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining('several files: mnist.npz, other.npz'),
    });
    expect((await loadDataset(path)).digest).toBe(digest);
  });
});

describe('an .npz file is rejected by name', () => {
  const huge = Buffer.from('\u0093NUMPY\u0002\u0000\u0000\u0000\u0000\u0040', 'latin1');
  test.each<[string, Uint8Array, RegExp]>([
    [
      'with Python objects',
      npz({ x_train: npyFile('|O', '(3, 2, 3)', trainImages) }),
      /x_train in .*mnist\.npz contains Python objects \(pickle\)/,
    ],
    [
      "in Fortran's order",
      npz({ x_train: npyFile('|u1', '(3, 2, 3)', trainImages, 'True') }),
      /x_train .* Fortran's order/,
    ],
    [
      'with a value above 255',
      npz({ y_test: npyFile('<u2', '(2,)', Uint8Array.of(1, 0, 0, 1)) }),
      /y_test .* 256 at \[1\]/,
    ],
    [
      'with fractions',
      npz({
        x_test: npyFile(
          '<f4',
          '(2, 2, 3)',
          Buffer.concat([Buffer.alloc(44), Buffer.from([0, 0, 0, 63])]),
        ),
      }),
      /x_test .* 0\.5 at \[1, 1, 2\]/,
    ],
    [
      'with colours',
      npz({ x_train: npyFile('|u1', '(1, 2, 3, 3)', trainImages) }),
      /x_train .* shape \(1, 2, 3, 3\)/,
    ],
    [
      'with one-hot labels',
      npz({ y_train: npyFile('|u1', '(3, 10)', new Uint8Array(30)) }),
      /y_train .* shape \(3, 10\)/,
    ],
    [
      'with too few labels',
      npz({ y_train: npyFile('|u1', '(2,)', trainLabels.subarray(1)) }),
      /x_train .* 3 images, but y_train .* 2 labels/,
    ],
    [
      'with a truncated array',
      npz({ x_train: npyFile('|u1', '(3, 2, 3)', trainImages.subarray(1)) }),
      /x_train .* is truncated/,
    ],
    [
      'with trailing values',
      npz({ y_test: npyFile('|u1', '(2,)', trainLabels) }),
      /y_test .* more values than its shape/,
    ],
    [
      'with an absurd shape',
      npz({ x_train: npyFile('|u1', '(9007199254740991, 2, 3)', trainImages) }),
      /x_train in .*, the dataset has .* more than/,
    ],
    [
      'with a shape that is not one',
      npz({ x_train: npyFile('|u1', '(3, , 3)', trainImages) }),
      /x_train .* shape/,
    ],
    [
      'with a header that is too long',
      npz({ x_train: huge }),
      /x_train .* header of 1073741824 bytes/,
    ],
    [
      'with several fields',
      npz({ y_test: npyFile("|u1', 'x': '", '(2,)', testLabels) }),
      /y_test .* not supported/,
    ],
    [
      'without a training set',
      zipFile([{ name: 'arr_0.npy', bytes: arrays['x_train'] ?? Buffer.of() }]),
      /has no x_train and y_train; it has arr_0/,
    ],
    ['without labels', npz({ y_test: undefined }), /has x_test\.npy, but no labels/],
    [
      'without a test set',
      npz({ x_test: undefined, y_test: undefined }),
      /has a training set, but no test set/,
    ],
    [
      'with a label out of range',
      npz({ y_test: npyFile('|u1', '(2,)', Uint8Array.of(1, 77)) }),
      /y_test in .*mnist\.npz\[1\]: the label is 77/,
    ],
    [
      'with a wrong checksum',
      zipFile([
        { name: 'x_train.npy', bytes: arrays['x_train'] ?? Buffer.of(), crc: 1 },
        { name: 'y_train.npy', bytes: arrays['y_train'] ?? Buffer.of() },
      ]),
      /x_train\.npy in .* is damaged: its checksum/,
    ],
    [
      'with the same name twice',
      zipFile([
        { name: 'x_train.npy', bytes: Buffer.of() },
        { name: 'x_train.npy', bytes: Buffer.of() },
      ]),
      /x_train\.npy twice/,
    ],
    ['that is truncated', numpyFile.subarray(0, 700), /mnist\.npz is damaged/],
    ['that is empty', Buffer.of(), /mnist\.npz is damaged/],
    [
      'with a text instead of an array',
      npz({ y_test: Buffer.from('no array at all') }),
      /y_test .* not an array/,
    ],
  ])('%s', async (_what, bytes, message) => {
    await expect(loadDataset(written(bytes))).rejects.toMatchObject({
      message: expect.stringMatching(message),
      fix: expect.any(String),
    });
  });

  test('with more files than an archive of arrays has, before its list is read', async () => {
    const many = zipFile([{ name: 'x_train.npy', bytes: Buffer.of() }], 60_000);
    await expect(loadDataset(written(many))).rejects.toMatchObject({ code: 'LIMIT' });
  });

  test('when it is a zip bomb, without unpacking all of it', async () => {
    const zeros = Buffer.concat([npyFile('|u1', '(3, 2, 3)', Buffer.of()), Buffer.alloc(2 ** 28)]);
    const bomb = npz({ x_train: zeros });
    const before = process.resourceUsage().maxRSS;
    await expect(loadDataset(written(bomb))).rejects.toMatchObject({
      message: expect.stringContaining('more values than its shape'),
    });
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(2 ** 16);
    const large = npz({ x_train: npyFile('|u1', '(4000000, 28, 28)', Buffer.alloc(2 ** 20)) });
    await expect(loadDataset(written(large))).rejects.toMatchObject({ code: 'LIMIT' });
  });

  test('if bytes of it are changed, never with a crash', async () => {
    const at = fc.integer({ min: 0, max: numpyFile.length - 1 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(at, fc.nat(255)), { minLength: 1, maxLength: 8 }),
        async (changes) => {
          const bytes = Buffer.from(numpyFile);
          for (const [i, value] of changes) bytes[i] = value;
          const error: unknown = await loadDataset(written(bytes)).then(
            () => undefined,
            (reason: unknown) => reason,
          );
          if (error !== undefined) expect(error).toBeInstanceOf(ClusterError);
        },
      ),
      { numRuns: 200 },
    );
  });
});
