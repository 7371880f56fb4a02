import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseDataset, swappedHalves } from '../../../../shared/dataset/dataset.ts';
import { concatenate, imagesFile, labelsFile } from '../../../fixtures/dataset/idx-files.ts';
import { tinyBytes, tinyFiles } from '../../../fixtures/dataset/tiny-dataset.ts';

function bytesWith(change: Partial<typeof tinyFiles>): Uint8Array {
  return concatenate(Object.values({ ...tinyFiles, ...change }));
}

describe('swappedHalves', () => {
  it('swaps the training set and the test set in a copy of the bytes', () => {
    const dataset = parseDataset(tinyBytes, 'abcdefghij'.split(''));
    const swapped = swappedHalves(dataset);
    expect(swapped.test).toEqual(dataset.train);
    expect(swapped.train).toEqual(dataset.test);
    expect(swapped.classNames).toEqual(dataset.classNames);
    expect(swapped.digest).not.toBe(dataset.digest);
    expect(swappedHalves(swapped)).toEqual(dataset);
  });
});

describe('parseDataset', () => {
  it('returns the images and the labels as views into the bytes', () => {
    const dataset = parseDataset(tinyBytes);
    expect(dataset).toMatchObject({ rows: 2, columns: 3, name: undefined });
    expect(dataset.digest).toBe(createHash('sha256').update(tinyBytes).digest('hex'));
    expect(dataset.classNames).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    expect(dataset.train.samples).toBe(3);
    expect([...dataset.train.labels]).toEqual([1, 0, 9]);
    expect([...dataset.test.labels]).toEqual([7, 2]);
    expect([...dataset.test.images.subarray(0, 2)]).toEqual([255, 254]);
    expect(dataset.train.images.buffer).toBe(tinyBytes.buffer);
  });

  it('accepts labels above 9 only if they have names', () => {
    const bytes = bytesWith({ 't10k-labels-idx1-ubyte': labelsFile([1, 10]) });
    expect(() => parseDataset(bytes)).toThrow(
      't10k-labels-idx1-ubyte: label 1 is 10, but the classes are 0 to 9',
    );
    const names = Array.from({ length: 11 }, (_, i) => `class ${i}`);
    expect(parseDataset(bytes, names).classNames).toEqual(names);
    expect(() => parseDataset(tinyBytes, ['a', 'b'])).toThrow(
      'train-labels-idx1-ubyte: label 2 is 9, but the classes are 0 to 1',
    );
  });

  it.each([
    [
      'fewer labels than images',
      { 'train-labels-idx1-ubyte': labelsFile([1, 2]) },
      /train-images-idx3-ubyte has 3 images, but train-labels-idx1-ubyte has 2 labels/,
    ],
    [
      'test images of a different size',
      { 't10k-images-idx3-ubyte': imagesFile(2, 3, 2) },
      /training images have 2 x 3 pixels, but test images have 3 x 2/,
    ],
    [
      'swapped files',
      { 'train-images-idx3-ubyte': labelsFile([1, 2, 3]) },
      /train-images-idx3-ubyte has labels/,
    ],
  ])('rejects %s', (_what, change, message) => {
    expect(() => parseDataset(bytesWith(change))).toThrow(message);
  });

  it('rejects every truncation, and trailing bytes', () => {
    for (let length = 0; length < tinyBytes.length; length++) {
      expect(() => parseDataset(tinyBytes.subarray(0, length))).toThrow(/is truncated/);
    }
    expect(() => parseDataset(concatenate([tinyBytes, Uint8Array.of(0)]))).toThrow(
      'has 1 bytes after',
    );
  });
});
