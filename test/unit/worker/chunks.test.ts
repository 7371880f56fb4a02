import { expect, it } from 'vitest';
import { chunkBytes, createChunks } from '../../../worker/chunks.ts';
import { denseModel } from '../../../shared/arithmetic/model-shape.ts';
import { evaluatedSamples, parseDataset } from '../../../shared/dataset/dataset.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { concatenate, imagesFile, labelsFile } from '../../fixtures/dataset/idx-files.ts';

const labels = (count: number, from: number) =>
  Array.from({ length: count }, (_, i) => (from + i) % 10);
const dataset = parseDataset(
  concatenate([
    imagesFile(7, 2, 2),
    labelsFile(labels(7, 0)),
    imagesFile(3, 2, 2),
    labelsFile(labels(3, 5)),
  ]),
);
const model = denseModel([2, 2], [3], 0, 10);
const chunksFor = (trainSamples: number) =>
  createChunks(createKernels(chunkBytes(model)), model, {
    test: evaluatedSamples(dataset, 'test', { trainSamples }),
    validation: evaluatedSamples(dataset, 'validation', { trainSamples }),
  });

it('the validation set consists of the last rows of the training files', () => {
  const chunks = chunksFor(4);
  const { inputs, labels: found } = chunks.build('validation', 0);
  expect(Array.from(found.subarray(0, 4))).toEqual([4, 5, 6, -1]);
  const pixels = dataset.train.images.subarray(4 * 4);
  expect([...inputs.subarray(0, 13)]).toEqual(
    [...pixels, 0].map((pixel) => Math.fround(pixel / 255)),
  );
  expect(Array.from(chunks.build('test', 0).labels.subarray(0, 4))).toEqual([5, 6, 7, -1]);
});

it('a chunk that a set does not have is a violation of the protocol', () => {
  expect(() => chunksFor(4).build('validation', 1)).toThrow(/the validation set has 1 chunks/);
  expect(() => chunksFor(7).build('validation', 0)).toThrow(/the validation set has 0 chunks/);
});
