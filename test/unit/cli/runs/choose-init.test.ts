import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { checkInitModel, chooseInit, type ChosenInit } from '../../../../cli/runs/choose-init.ts';
import { denseModel, type ModelShape } from '../../../../shared/arithmetic/model-shape.ts';
import { encodeModel } from '../../../../shared/files/model-file.ts';
import { convnetModel } from '../../../fixtures/engine/models.ts';
import { configuration, writeRun } from '../../../fixtures/model-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let runs: string;
let run: string;
beforeEach(() => {
  runs = temporaryFolder();
  run = join(runs, 'r');
  mkdirSync(run);
  writeRun(run);
});

async function chosen(init: string): Promise<ChosenInit> {
  const found = await chooseInit({ init, runsDir: runs });
  if (found === undefined) throw new Error('nothing was chosen');
  return found;
}

describe('the weights that a run begins with', () => {
  test('come from a run or a file, and their digest depends on nothing else in it', async () => {
    expect(await chooseInit({ init: undefined, runsDir: runs })).toBeUndefined();
    const ofRun = await chosen(run);
    const file = join(runs, 'copy.safetensors');
    const other = { ...configuration, seed: 9 };
    const { weights } = ofRun;
    writeFileSync(
      file,
      encodeModel({ configuration: other, step: 3, chain: '0'.repeat(64), weights }),
    );
    const ofFile = await chosen(file);
    expect([ofRun.name, ofFile.name]).toEqual([join(run, 'model.safetensors'), file]);
    expect(ofFile.digest).toBe(ofRun.digest);
    expect(ofFile.weights).toEqual(weights);
  });

  test('are refused if the run does not exist, with the nearest one', async () => {
    await expect(chosen('r')).rejects.toMatchObject({
      code: 'USAGE',
      fix: expect.stringContaining(`did you mean ${run}?`),
    });
  });

  test('are refused if one of them is not finite', async () => {
    const file = join(runs, 'diverged.safetensors');
    const weights = (await chosen(run)).weights.slice();
    weights[3] = Number.NaN;
    writeFileSync(file, encodeModel({ configuration, step: 3, chain: '0'.repeat(64), weights }));
    await expect(chosen(file)).rejects.toMatchObject({
      code: 'DATA',
      message: `${file} has weights that are not finite (--init)`,
    });
  });

  test.each([
    ['another layer', denseModel([7, 7], [3], 0.2, 2)],
    ['other classes', denseModel([7, 7], [2], 0.2, 3)],
    ['another image', denseModel([7, 8], [2], 0.2, 2)],
    ['convolutions', convnetModel],
  ] as const)('are refused for a model with %s, with both summaries', async (_, model) => {
    const init = await chosen(run);
    expect(() => checkInitModel(init, model)).toThrow(
      expect.objectContaining({
        code: 'USAGE',
        message: expect.stringMatching(
          /: 49 - 2 - 2 for images of 7 x 7 pixels in 2 classes, .*; this run: .* param/,
        ),
      }),
    );
  });

  test('may be those of a model with another dropout', async () => {
    const init = await chosen(run);
    for (const dropout of [0, 0.2, 0.5]) {
      const model: ModelShape = denseModel([7, 7], [2], dropout, 2);
      expect(() => checkInitModel(init, model)).not.toThrow();
    }
  });
});
