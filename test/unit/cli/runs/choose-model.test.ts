import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { chooseModel, layoutOf } from '../../../../cli/runs/choose-model.ts';
import { encodeTensors } from '../../../../shared/files/safetensors.ts';
import { canonicalConfiguration } from '../../../../shared/configuration.ts';
import { datasetDigest, MNIST_DIGEST } from '../../../../shared/dataset/dataset.ts';
import { modelDigest } from '../../../../shared/files/own-model.ts';
import { MAX_MODEL_FILE_BYTES } from '../../../../shared/limits.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { parseStoreUri } from '../../../../artifacts/store/store-address.ts';
import { pushRun } from '../../../../artifacts/store/push.ts';
import { tinyBytes, tinyFiles } from '../../../fixtures/dataset/tiny-dataset.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { configuration, modelBytes, writeRun } from '../../../fixtures/model-file.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';

/** The image layout and class names in the run.json that `writeRun` writes. */
const layout = { rows: 7, columns: 7, classNames: ['lying', 'standing'], isNamed: true };

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
  for (const [name, state, day] of [
    ['older', 'finished', '01'],
    ['finished', 'finished', '02'],
    ['failed', 'failed', '03'],
  ] as const) {
    mkdirSync(join(runs, name));
    writeRun(join(runs, name), { state, started: `2026-01-${day}T00:00:00.000Z` });
  }
});

const path = (run: string) => join(runs, run, 'model.safetensors');
const refusal = async (named: string | undefined, folder = runs) => {
  const error: unknown = await chooseModel(named, folder, immediateRetries()).catch(
    (reason: unknown) => reason,
  );
  return error;
};

describe('the chosen model', () => {
  test('comes from the given run or file, or from the newest finished run', async () => {
    const found = await chooseModel(undefined, runs, immediateRetries());
    expect(found).toMatchObject({
      name: path('finished'),
      directory: join(runs, 'finished'),
      step: 7,
      configuration,
    });
    expect(await layoutOf(found, undefined)).toEqual(layout);
    expect(found.weights).toHaveLength(106);
    expect((await chooseModel(join(runs, 'failed'), 'elsewhere', immediateRetries())).name).toBe(
      path('failed'),
    );
    expect((await chooseModel(path('older'), 'elsewhere', immediateRetries())).name).toBe(
      path('older'),
    );
  });

  test('is fetched from a store without the other files of its run', async () => {
    const uri = `file:${join(runs, 'store')}`;
    const push = (run: string) => pushRun(join(runs, run), parseStoreUri(uri), immediateRetries());
    const pushed = await push('finished');
    const found = await chooseModel(pushed.uri, 'elsewhere', immediateRetries());
    expect(found).toMatchObject({
      name: `${pushed.uri}/model.safetensors`,
      directory: undefined,
    });
    expect(await layoutOf(found, undefined)).toEqual(layout);
    expect(await refusal(uri)).toMatchObject({
      code: 'STORE',
      fix: expect.stringContaining(pushed.uri),
    });
    const stored = join(pushed.uri.slice('file:'.length), 'model.safetensors');
    truncateSync(stored, 100);
    expect(await refusal(pushed.uri)).toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('differs from the manifest'),
    });
    rmSync(stored);
    expect(await refusal(pushed.uri)).toMatchObject({
      code: 'STORE',
      message: expect.stringContaining('is missing'),
    });
  });

  test('is missing from a store when the run has not finished', async () => {
    rmSync(path('older'));
    const uri = `file:${join(runs, 'store')}`;
    const half = await pushRun(join(runs, 'older'), parseStoreUri(uri), immediateRetries());
    expect(await refusal(half.uri)).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(half.uri),
    });
  });

  test('has square pictures when its run is not available', async () => {
    const square = { ...configuration, model: denseModel([3, 3], [2], 0, 3) };
    const alone = join(runs, 'alone.safetensors');
    writeFileSync(alone, modelBytes(square));
    const expected = { rows: 3, columns: 3, classNames: ['0', '1', '2'], isNamed: false };
    expect(await layoutOf(await chooseModel(alone, runs, immediateRetries()), undefined)).toEqual(
      expected,
    );
    // A model file with a different name may be in any run's directory.
    cpSync(alone, join(runs, 'older', 'best.safetensors'));
    const beside = await chooseModel(
      join(runs, 'older', 'best.safetensors'),
      runs,
      immediateRetries(),
    );
    expect(beside).toMatchObject({ record: undefined, directory: undefined });
    expect(await layoutOf(beside, undefined)).toEqual(expected);
    writeFileSync(alone, modelBytes({ ...square, model: denseModel([1, 8], [2], 0, 3) }));
    await expect(
      layoutOf(await chooseModel(alone, runs, immediateRetries()), undefined),
    ).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining(alone),
      fix: expect.stringContaining('run.json'),
    });
  });

  test('takes its class names from --data, which must be its training dataset', async () => {
    const data = join(runs, 'data');
    mkdirSync(data);
    for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
    const names = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
    writeFileSync(join(data, 'labels.txt'), names.join('\n'));
    const tiny = {
      ...configuration,
      dataset: datasetDigest(tinyBytes),
      model: denseModel([2, 3], [2], 0, 10),
    };
    const alone = join(runs, 'alone.safetensors');
    writeFileSync(alone, modelBytes(tiny));
    const chosen = await chooseModel(alone, runs, immediateRetries());
    expect(await layoutOf(chosen, data)).toEqual({
      rows: 2,
      columns: 3,
      classNames: names,
      isNamed: true,
    });
    const other = await chooseModel(path('older'), runs, immediateRetries());
    await expect(layoutOf(other, data)).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining(
        `dataset ${'ab'.repeat(8)}; this is ${tiny.dataset.slice(0, 16)}`,
      ),
    });
  });
});

describe('rejects, with the name of the file,', () => {
  test('a model whose size or number of classes is not that of its dataset', async () => {
    const data = join(runs, 'data');
    mkdirSync(data);
    for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
    const alone = join(runs, 'alone.safetensors');
    for (const [dataset, model, words, given] of [
      [MNIST_DIGEST, denseModel([32, 32], [2], 0, 10), '32 x 32 pixels and 10 classes', undefined],
      [MNIST_DIGEST, denseModel([28, 28], [2], 0, 9), '28 x 28 pixels and 9 classes', undefined],
      [datasetDigest(tinyBytes), denseModel([2, 4], [2], 0, 10), '2 x 4 pixels', data],
    ] as const) {
      writeFileSync(alone, modelBytes({ ...configuration, dataset, model }));
      const chosen = await chooseModel(alone, runs, immediateRetries());
      await expect(layoutOf(chosen, given)).rejects.toMatchObject({
        code: 'DATA',
        message: expect.stringContaining(`${alone} has ${words}`),
      });
    }
  });

  const foreign = expect.stringContaining('is not the model that run.json describes');

  test("a model that was replaced by another run's, even in a store", async () => {
    const other = modelBytes({ ...configuration, seed: 9 });
    writeFileSync(path('older'), other);
    for (const named of [join(runs, 'older'), path('older')]) {
      expect(await refusal(named)).toMatchObject({ code: 'DATA', message: foreign });
      expect(String(await refusal(named))).toContain('seed 9 instead of 1');
    }
    const store = join(runs, 'store');
    const push = () =>
      pushRun(join(runs, 'older'), parseStoreUri(`file:${store}`), immediateRetries());
    await expect(push()).rejects.toMatchObject({ code: 'DATA', message: foreign });
    // This is the run as an older version would have pushed it.
    writeFileSync(path('older'), modelBytes());
    const pushed = await push();
    const stored = (name: string) => join(fileURLToPath(pushed.uri), name);
    writeFileSync(stored('model.safetensors'), other);
    const manifest = readFileSync(stored('manifest.json'), 'utf8');
    const renamed = manifest.replace(modelDigest(modelBytes()), modelDigest(other));
    writeFileSync(stored('manifest.json'), renamed);
    expect(await refusal(pushed.uri)).toMatchObject({ code: 'DATA', message: foreign });
  });

  test('a model with the same settings but a different SHA-256, step or chain', async () => {
    const mine = modelDigest(modelBytes());
    const run = join(runs, 'older');
    for (const [record, words] of [
      [
        { model: { sha256: 'ef'.repeat(32) } },
        `SHA-256 ${mine.slice(0, 16)} instead of ${'ef'.repeat(8)}`,
      ],
      [{ step: 8 }, 'step 7 instead of 8'],
      [{ chain: 'ef'.repeat(32) }, `chain ${'cd'.repeat(8)} instead of ${'ef'.repeat(8)}`],
    ] as const) {
      writeRun(run, record);
      expect(String(await refusal(run))).toContain(words);
      // A run in progress may still have the model from when it last ended.
      writeRun(run, { ...record, state: 'running' });
      expect(await refusal(run)).toMatchObject({ step: 7 });
    }
    writeRun(run, { model: { sha256: mine } });
    expect(await refusal(run)).toMatchObject({ step: 7 });
  });

  test('a run without a model, and a folder without a finished run', async () => {
    rmSync(path('failed'));
    expect(await refusal(join(runs, 'failed'))).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(path('failed')),
      fix: expect.stringContaining('--resume'),
    });
    expect(await refusal(join(runs, 'none'))).toMatchObject({ code: 'USAGE' });
    for (const name of ['older', 'finished']) rmSync(join(runs, name), { recursive: true });
    expect(await refusal(undefined)).toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('no finished run'),
      fix: expect.any(String),
    });
  });

  test('a file that is damaged, or that is not a model of mnist-dist', async () => {
    const file = join(runs, 'file');
    const tensors = [{ name: 'dense.0.kernel', shape: [1], data: Float32Array.of(1) }];
    const metadata = {
      configuration: canonicalConfiguration(configuration),
      step: '7',
      chain: 'cd'.repeat(32),
    };
    // This model has more weights than fit in memory.
    const huge = {
      ...configuration,
      model: denseModel([1, 65_536], [65_536, 65_536], 0, 2),
    };
    const hugeText = canonicalConfiguration(huge);
    for (const [bytes, what] of [
      [modelBytes().subarray(0, -4), 'not an intact safetensors file'],
      [new Uint8Array(0), 'not an intact safetensors file'],
      [encodeTensors({ metadata: {}, tensors }), 'not a model of mnist-dist'],
      [
        encodeTensors({ metadata: { ...metadata, configuration: '{' }, tensors }),
        'not a model of mnist-dist',
      ],
      [
        encodeTensors({ metadata: { ...metadata, step: '0' }, tensors }),
        'not a model of mnist-dist',
      ],
      [encodeTensors({ metadata, tensors }), 'does not have the tensors'],
      [
        encodeTensors({ metadata: { ...metadata, configuration: hugeText }, tensors }),
        'does not have the tensors',
      ],
    ] as const) {
      writeFileSync(file, bytes);
      const expected = { code: 'DATA', message: expect.stringContaining(what) };
      const found = await refusal(file);
      expect(found).toMatchObject(expected);
      expect(String(found)).toContain(file);
    }
  });

  test('a file that is too large, without reading it', async () => {
    truncateSync(path('finished'), MAX_MODEL_FILE_BYTES + 1);
    expect(await refusal(undefined)).toMatchObject({
      code: 'LIMIT',
      message: expect.stringContaining('MAX_MODEL_FILE_BYTES'),
    });
  });
});
