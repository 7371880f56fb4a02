import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { newDataset, warnOfValidationSet } from '../../../../cli/runs/new-dataset.ts';
import type { Log } from '../../../../cli/terminal/log.ts';
import { configurationFixture as configuration } from '../../../fixtures/configuration.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let folder: string;
let warnings: string[];
const log: Log = {
  debug() {},
  info() {},
  warn: (_, message) => void warnings.push(message),
  error() {},
};
beforeEach(() => {
  folder = temporaryFolder();
  vi.stubEnv('MNIST_DIST_CACHE', join(folder, 'cache'));
  warnings = [];
});

async function loaded(labels: string, testSplit: number) {
  const data = join(folder, 'all.csv');
  writeFileSync(data, Array.from(labels, (label) => `${label},9,9,9,9\n`).join(''));
  return await newDataset({ data, testSplit, imageSize: undefined }, log);
}

describe('a new dataset', () => {
  test('is refused if all training samples have one class', async () => {
    await expect(loaded('3333', 0.25)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringMatching(/all\.csv: all 3 training samples are of the class 3/),
      fix: expect.stringContaining('first value of each line'),
    });
  });

  test('whose test set lacks a class causes a warning', async () => {
    await loaded('0011', 0.25);
    expect(warnings.join()).toMatch(/the test set has no sample of the class 0/);
  });

  test('whose validation set lacks a class causes a warning', async () => {
    const dataset = await loaded('001101', 1 / 3);
    expect(warnings).toEqual([]);
    const split = { ...configuration, trainSamples: 3, validationSamples: 1 };
    warnOfValidationSet(dataset, configuration, log);
    expect(warnings).toEqual([]);
    warnOfValidationSet(dataset, split, log);
    expect(warnings.join()).toMatch(/the validation set has no sample of the class 0/);
  });
});
