import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { chooseModel } from '../../cli/choose-model.ts';
import { encodeTensors } from '../../shared/safetensors.ts';
import { canonicalConfiguration } from '../../shared/configuration.ts';
import { MAX_MODEL_FILE_BYTES } from '../../shared/limits.ts';
import { temporaryFolder } from '../process/cluster.ts';
import { parseStoreUri } from '../../store/address.ts';
import { pushRun } from '../../store/push.ts';
import { noPatience } from '../store/patience.ts';
import { configuration, modelBytes, writeRun } from './made-up-model.ts';

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
  const error: unknown = await chooseModel(named, folder, noPatience()).catch((reason: unknown) => reason);
  return error;
};

describe('the model that is meant', () => {
  test('is that of the run or file that was named, or of the newest finished run', async () => {
    const found = await chooseModel(undefined, runs, noPatience());
    expect(found).toMatchObject({
      name: path('finished'),
      directory: join(runs, 'finished'),
      step: 7,
      rows: 7,
      columns: 7,
      configuration,
    });
    expect(found.classNames).toEqual(['lying', 'standing']);
    expect(found.weights).toHaveLength(106);
    expect((await chooseModel(join(runs, 'failed'), 'elsewhere', noPatience())).name).toBe(path('failed'));
    expect((await chooseModel(path('older'), 'elsewhere', noPatience())).name).toBe(path('older'));
  });

  test('is that of a run in a store, of which nothing else is fetched', async () => {
    const uri = `file:${join(runs, 'store')}`;
    const push = (run: string) => pushRun(join(runs, run), parseStoreUri(uri), noPatience());
    const pushed = await push('finished');
    const found = await chooseModel(pushed.uri, 'elsewhere', noPatience());
    expect(found).toMatchObject({
      ...{ name: `${pushed.uri}/model.safetensors`, directory: undefined, rows: 7, columns: 7 },
      classNames: ['lying', 'standing'],
    });
    expect(await refusal(uri)).toMatchObject({ code: 'STORE', fix: expect.stringContaining(pushed.uri) });
    const stored = join(pushed.uri.slice('file:'.length), 'model.safetensors');
    truncateSync(stored, 100);
    expect(await refusal(pushed.uri)).toMatchObject({
      ...{ code: 'STORE', message: expect.stringContaining('is not what the manifest says') },
    });
    rmSync(stored);
    expect(await refusal(pushed.uri)).toMatchObject({
      ...{ code: 'STORE', message: expect.stringContaining('is missing') },
    });
  });

  test('is not there in a store where the run was not finished', async () => {
    rmSync(path('older'));
    const uri = `file:${join(runs, 'store')}`;
    const half = await pushRun(join(runs, 'older'), parseStoreUri(uri), noPatience());
    expect(await refusal(half.uri)).toMatchObject({
      ...{ code: 'USAGE', message: expect.stringContaining(half.uri) },
    });
  });

  test('says by its own length what its pictures are, where its run is not at hand or is another one', async () => {
    const square = { ...configuration, model: { inputs: 9, hidden: [2], classes: 3 } };
    const alone = join(runs, 'alone.safetensors');
    writeFileSync(alone, modelBytes(square));
    const expected = { rows: 3, columns: 3, classNames: ['0', '1', '2'] };
    expect(await chooseModel(alone, runs, noPatience())).toMatchObject(expected);
    writeFileSync(path('older'), modelBytes({ ...square, dataset: 'ef'.repeat(32) }));
    expect(await chooseModel(path('older'), runs, noPatience())).toMatchObject(expected);
    writeFileSync(alone, modelBytes({ ...square, model: { ...square.model, inputs: 8 } }));
    expect(await refusal(alone)).toMatchObject({
      ...{ code: 'DATA', message: expect.stringContaining(alone), fix: expect.stringContaining('run.json') },
    });
  });
});

describe('what is refused, by name', () => {
  test('is a run without a model, and a folder without a finished run', async () => {
    rmSync(path('failed'));
    expect(await refusal(join(runs, 'failed'))).toMatchObject({
      ...{ code: 'USAGE', message: expect.stringContaining(path('failed')) },
      fix: expect.stringContaining('--resume'),
    });
    expect(await refusal(join(runs, 'none'))).toMatchObject({ code: 'USAGE' });
    for (const name of ['older', 'finished']) rmSync(join(runs, name), { recursive: true });
    expect(await refusal(undefined)).toMatchObject({
      ...{ code: 'USAGE', message: expect.stringContaining('no finished run'), fix: expect.any(String) },
    });
  });

  test('is a file that is damaged, or a model of somebody else', async () => {
    const file = join(runs, 'file');
    const tensors = [{ name: 'dense.0.kernel', shape: [1], data: Float32Array.of(1) }];
    const metadata = {
      ...{ configuration: canonicalConfiguration(configuration), step: '7', chain: 'cd'.repeat(32) },
    };
    // So many weights that nobody has the memory for them.
    const huge = { ...configuration, model: { inputs: 65_536, hidden: [65_536, 65_536], classes: 2 } };
    const hugeText = canonicalConfiguration(huge);
    for (const [bytes, what] of [
      [modelBytes().subarray(0, -4), 'not an intact safetensors file'],
      [new Uint8Array(0), 'not an intact safetensors file'],
      [encodeTensors({ metadata: {}, tensors }), 'no model that mnist-dist has written'],
      [encodeTensors({ metadata: { ...metadata, configuration: '{' }, tensors }), 'no model that'],
      [encodeTensors({ metadata: { ...metadata, step: '0' }, tensors }), 'no model that'],
      [encodeTensors({ metadata, tensors }), 'other tensors'],
      [encodeTensors({ metadata: { ...metadata, configuration: hugeText }, tensors }), 'other tensors'],
    ] as const) {
      writeFileSync(file, bytes);
      const expected = { code: 'DATA', message: expect.stringContaining(what) };
      const found = await refusal(file);
      expect(found).toMatchObject(expected);
      expect(String(found)).toContain(file);
    }
  });

  test('is a file that is too large, of which nothing is read', async () => {
    truncateSync(path('finished'), MAX_MODEL_FILE_BYTES + 1);
    expect(await refusal(undefined)).toMatchObject({
      ...{ code: 'LIMIT', message: expect.stringContaining('MAX_MODEL_FILE_BYTES') },
    });
  });
});
