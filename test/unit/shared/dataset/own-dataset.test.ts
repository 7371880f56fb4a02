import { cpSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { storeDataset } from '../../../../shared/dataset/dataset-cache.ts';
import {
  datasetOfRun,
  loadGivenDataset,
  loadOwnDataset,
  type OwnDataset,
} from '../../../../shared/dataset/own-dataset.ts';
import { loadDataset } from '../../../../shared/dataset/load-dataset.ts';
import { datasetDigest, MNIST_DIGEST } from '../../../../shared/dataset/dataset.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { imagesFile } from '../../../fixtures/dataset/idx-files.ts';
import { tinyBytes, tinyFiles } from '../../../fixtures/dataset/tiny-dataset.ts';
import { sampleRun } from '../../../fixtures/run-record.ts';

const digest = datasetDigest(tinyBytes);
const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'];

let folder: string;
let data: string;
let own: OwnDataset;
afterEach(() => vi.unstubAllEnvs());
beforeEach(() => {
  folder = temporaryFolder();
  data = join(folder, 'data');
  mkdirSync(data);
  for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
  writeFileSync(join(data, 'labels.txt'), names.join('\n'));
  vi.stubEnv('MNIST_DIST_CACHE', join(folder, 'cache'));
  const { configuration, dataset } = sampleRun;
  own = datasetOfRun('runs/letters', {
    ...sampleRun,
    configuration: { ...configuration, dataset: digest },
    dataset: { ...dataset, sha256: digest, class_names: names },
    launch: { data },
  });
});

test("a run's dataset is loaded from its recorded folder with the run's class names", async () => {
  expect(await loadOwnDataset(own, undefined)).toMatchObject({ digest, classNames: names });
  rmSync(join(data, 'labels.txt'));
  expect(await loadOwnDataset(own, undefined)).toMatchObject({ digest, classNames: names });
});

test("a run's dataset is loaded from the cache if its folder no longer has it", async () => {
  await storeDataset(digest, tinyBytes);
  rmSync(data, { recursive: true });
  expect(await loadOwnDataset(own, undefined)).toMatchObject({ digest, classNames: names });
  const unknown = { ...own, folder: undefined, classNames: undefined };
  expect((await loadOwnDataset(unknown, undefined)).classNames).toEqual(Array.from('0123456789'));
  // The folder now has a different dataset.
  mkdirSync(data);
  for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
  writeFileSync(
    join(data, 'train-images-idx3-ubyte'),
    imagesFile(3, 2, 3, () => 9),
  );
  expect(await loadOwnDataset(own, undefined)).toMatchObject({ digest });
});

test('the error for a dataset that is not found contains both digests and the option', async () => {
  const moved = join(folder, 'moved');
  renameSync(data, moved);
  await expect(loadOwnDataset(own, undefined, { otherwise: 'or else' })).rejects.toMatchObject({
    code: 'DATA',
    message: expect.stringMatching(
      new RegExp(
        `runs/letters, ${digest.slice(0, 16)}.*${data} ` +
          `does not exist.*${MNIST_DIGEST.slice(0, 16)}`,
      ),
    ),
    fix: expect.stringContaining('--data DIR, or else'),
  });
  expect(await loadOwnDataset(own, moved)).toMatchObject({ digest });
  // The recorded folder now has a different dataset. The second time, it is given as an option.
  cpSync(moved, data, { recursive: true });
  const images = imagesFile(3, 2, 3, () => 9);
  writeFileSync(join(data, 'train-images-idx3-ubyte'), images);
  const other = datasetDigest(Buffer.concat([images, tinyBytes.subarray(images.length)])).slice(
    0,
    16,
  );
  const both = new RegExp(`${digest.slice(0, 16)}.*${other}`);
  for (const given of [undefined, data])
    await expect(loadOwnDataset(own, given, { code: 'NOT_REPLAYABLE' })).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
      message: expect.stringMatching(both),
    });
});

test('a run with the embedded MNIST does not need a folder', async () => {
  const mnist = datasetOfRun('runs/r', {
    ...sampleRun,
    configuration: { ...sampleRun.configuration, dataset: MNIST_DIGEST },
    dataset: { ...sampleRun.dataset, sha256: MNIST_DIGEST, class_names: names },
    launch: { data: '/nowhere' },
  });
  expect(await loadOwnDataset(mnist, undefined)).toMatchObject({
    digest: MNIST_DIGEST,
    classNames: names,
  });
});

test('the folder is undefined if the run record lacks a folder or has a relative one', () => {
  for (const launch of [{}, { data: null }, { data: '../data' }])
    expect(datasetOfRun('r', { ...sampleRun, launch }).folder).toBeUndefined();
});

test("a given folder without labels.txt has the run's class names if it has its data", async () => {
  // There are twelve classes; no image belongs to the last two.
  const classNames = [...names, 'k', 'l'];
  const twelve = { ...own, classes: 12, classNames };
  rmSync(join(data, 'labels.txt'));
  expect(await loadOwnDataset(twelve, data)).toMatchObject({ digest, classNames });
  expect(await loadGivenDataset(twelve, data)).toMatchObject({ digest, classNames });
  const unknown = { ...twelve, classNames: undefined };
  expect((await loadOwnDataset(unknown, data)).classNames).toHaveLength(12);
  writeFileSync(join(data, 'labels.txt'), names.join('\n'));
  expect((await loadGivenDataset(twelve, data)).classNames).toEqual(names);
  rmSync(join(data, 'labels.txt'));
  const other = { ...twelve, digest: '0'.repeat(64) };
  expect((await loadGivenDataset(other, data)).classNames).toEqual(Array.from('0123456789'));
});

test("a run's dataset is converted again as its record says if the cache lacks it", async () => {
  const csv = join(folder, 'train.csv');
  writeFileSync(csv, '0,1\n1,2\n2,3\n3,4\n');
  const { digest: sha256 } = await loadDataset(csv, { testSplit: 0.5 });
  const run = datasetOfRun('runs/r', {
    ...sampleRun,
    configuration: { ...sampleRun.configuration, dataset: sha256 },
    dataset: { ...sampleRun.dataset, sha256, class_names: names },
    launch: { data: csv, test_split: 0.5 },
  });
  expect((await loadOwnDataset(run, undefined)).digest).toBe(sha256);
  expect((await loadOwnDataset(run, csv)).digest).toBe(sha256);
  expect((await loadGivenDataset(run, csv, { testSplit: 0.25 })).train.samples).toBe(3);
  // The names of the run belong to its own dataset only.
  expect((await loadGivenDataset(run, csv, { testSplit: 0.25 })).classNames[0]).toBe('0');
  expect((await loadGivenDataset(run, csv)).classNames).toEqual(names);
  // A different dataset with a test set of its own is not split.
  expect((await loadGivenDataset(run, data)).digest).toBe(digest);
  await expect(loadOwnDataset({ ...run, conversion: {} }, undefined)).rejects.toMatchObject({
    code: 'DATA',
    message: expect.stringContaining('no test set'),
  });
});
