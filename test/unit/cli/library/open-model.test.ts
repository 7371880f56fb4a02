import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { loadModel, MnistDistError, predict } from '../../../../cli/library/index.ts';
import { errorTable } from '../../../../shared/errors.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { writeRun } from '../../../fixtures/model-file.ts';

let runsDir: string;
let run: string;
beforeEach(() => {
  runsDir = temporaryFolder();
  run = join(runsDir, 'a');
  mkdirSync(run);
  writeRun(run);
});

async function errorOf(promise: Promise<unknown>): Promise<MnistDistError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof MnistDistError) return error;
  throw new Error('no MnistDistError', { cause: error });
}

it('loads the newest run, or the one that is named', async () => {
  const newest = await loadModel(undefined, { runsDir });
  expect(newest.name).toBe(join(run, 'model.safetensors'));
  const named = await loadModel(newest.name);
  const pixels = Array.from({ length: named.rows * named.columns }, () => 0.5);
  const found = named.predict(pixels);
  expect(found).toEqual(newest.predict(Float32Array.from(pixels)));
  expect(found.probabilities).toHaveLength(named.classNames.length);
  expect(found.className).toBe(named.classNames[found.predicted]);
});

it.each([
  ['of the wrong number', [0.5], /^1 pixels; the model takes \d+$/],
  ['that are bytes', undefined, /^pixel 3 is 255, which is not from 0 to 1$/],
])('rejects pixels %s', async (_, given, message) => {
  const model = await loadModel(run);
  const bytes = Array.from({ length: model.rows * model.columns }, () => 0).with(3, 255);
  const error = await errorOf(Promise.resolve().then(() => model.predict(given ?? bytes)));
  expect(error.message).toMatch(message);
  expect(error).toMatchObject({ code: 'IMAGE', exitCode: errorTable.IMAGE.exit });
});

it('rejects with the error of the command line', async () => {
  const missing = await errorOf(predict(['none.png'], { model: run }));
  expect(missing).toMatchObject({ name: 'MnistDistError', code: 'IMAGE' });
  const noRun = await errorOf(loadModel(undefined, { runsDir: join(runsDir, 'none') }));
  expect(noRun).toMatchObject({ code: 'USAGE', exitCode: 2, fix: expect.any(String) });
});

it('rejects with INTERRUPTED and the reason of the signal', async () => {
  const reason = new Error('enough');
  const signal = AbortSignal.abort(reason);
  const error = await errorOf(loadModel(run, { signal }));
  expect(error).toMatchObject({ code: 'INTERRUPTED', exitCode: 130, cause: reason });
});
