import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeCheckpoint } from '../../../../shared/files/checkpoint-file.ts';
import { readModel } from '../../../../shared/files/model-file.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { bestConfiguration, makeUp, verifyMadeUp } from '../../../fixtures/recorded-run.ts';
import { checkpointOf, expectDifference, linesOf } from './forgery.ts';
import { crash, edit } from './record-edits.ts';

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

// A loss must fall by 9 to count: the first evaluation, after step 4, stays the best.
const chosen = bestConfiguration(9);
const longer = { ...chosen, steps: 16 };
const modelIn = (directory: string) => readFileSync(join(directory, 'model.safetensors'));
const recordIn = (directory: string) =>
  parseRunRecord(readFileSync(join(directory, 'run.json'), 'utf8'), 'run.json');
const judgedLink = (directory: string, at: number) =>
  linesOf(directory).find(({ kind, step }) => kind === 'evaluation' && step === at)?.chain;

describe('a run with --keep-best', () => {
  it('has the model of its best epoch, and a checkpoint of its last step', async () => {
    const directory = await makeUp({ runs, configuration: chosen });
    const model = readModel(modelIn(directory), 'model');
    expect(model.step).toBe(4);
    expect(model.chain).toBe(judgedLink(directory, 4));
    const record = recordIn(directory);
    expect(record).toMatchObject({ step: 12, model: { step: 4 }, best: { step: 4, waited: 2 } });
    const [best, last] = [4, 12].map((step) => {
      const path = checkpointOf(directory, step);
      return decodeCheckpoint(readFileSync(path), path, chosen);
    });
    expect(model.weights).toEqual(best?.weights);
    expect(last?.weights).not.toEqual(best?.weights);
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 12, evaluations: 4, model: true });
  });

  it('is verified from a step after the best one with its checkpoint', async () => {
    const directory = await makeUp({ runs, configuration: chosen });
    expect(await verifyMadeUp(directory, { from: 12 })).toMatchObject({ evaluations: 2 });
    rmSync(checkpointOf(directory, 4));
    await expect(verifyMadeUp(directory, { from: 12 })).rejects.toThrow(
      /the checkpoint of the best step, 4, is missing/,
    );
  });

  it('keeps the last epoch if it is the best', async () => {
    // All losses count as improvements.
    const directory = await makeUp({ runs, configuration: { ...bestConfiguration(0), steps: 4 } });
    expect(recordIn(directory)).toMatchObject({ step: 4, model: { step: 4 } });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 4, model: true });
  });

  it('has the same bytes when it was interrupted and resumed', async () => {
    const once = await makeUp({ runs, configuration: chosen });
    for (const until of [3, 4, 5, 8, 11]) {
      const resume = await makeUp({ runs, configuration: chosen, until });
      await makeUp({ runs, resume, configuration: chosen });
      expect(modelIn(resume)).toEqual(modelIn(once));
      expect(await verifyMadeUp(resume)).toMatchObject({ steps: 12, model: true });
    }
  });

  it('continues from its last weights when it is extended', async () => {
    const once = await makeUp({ runs, configuration: longer });
    const resume = await makeUp({ runs, configuration: chosen });
    await makeUp({ runs, resume, configuration: longer });
    expect(recordIn(resume)).toMatchObject({ step: 16, model: { step: 4 } });
    const weightsOf = (directory: string) => {
      const path = checkpointOf(directory, 16);
      return decodeCheckpoint(readFileSync(path), path, longer).weights;
    };
    expect(weightsOf(resume)).toEqual(weightsOf(once));
    expect(modelIn(resume)).toEqual(modelIn(once));
    // The replay tests the best weights in the middle, and continues with the last ones.
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 16, evaluations: 6, model: true });
  });

  it('repeats the test when it was killed at its end', async () => {
    const once = await makeUp({ runs, configuration: chosen });
    const directory = await makeUp({ runs, configuration: chosen });
    crash(directory);
    rmSync(join(directory, 'model.safetensors'));
    await makeUp({ runs, resume: directory, configuration: chosen });
    expect(modelIn(directory)).toEqual(modelIn(once));
  });

  it('starts again if every checkpoint needs that of the best epoch, which is gone', async () => {
    const once = await makeUp({ runs, configuration: chosen });
    const resume = await makeUp({ runs, configuration: chosen, until: 9 });
    rmSync(checkpointOf(resume, 4));
    await makeUp({ runs, resume, configuration: chosen });
    expect(modelIn(resume)).toEqual(modelIn(once));
  });
});

it('the checkpoint of the best epoch is there before the line of its evaluation', async () => {
  const directory = await makeUp({ runs, configuration: chosen, until: 3 });
  const seen: boolean[] = [];
  await makeUp({
    runs,
    resume: directory,
    configuration: chosen,
    onEvaluation: ({ step, set }) => {
      if (set === 'validation' && step === 4) seen.push(existsSync(checkpointOf(directory, 4)));
    },
  });
  expect(seen).toEqual([true]);
  expect(readdirSync(join(directory, 'checkpoints'))).toContain('step-0000000004.safetensors');
});

describe('verify finds, in a run with --keep-best,', () => {
  it('a model of another epoch', async () => {
    const directory = await makeUp({ runs, configuration: chosen });
    edit(directory, (record) => ({ ...record, model: { ...record.model, step: 8 } }));
    await expectDifference(directory, /the lines have best step 4/);
  });

  it('changed last weights', async () => {
    const directory = await makeUp({ runs, configuration: chosen });
    edit(directory, (record) => ({ ...record, weights: 'ab'.repeat(8) }));
    await expectDifference(directory, /a different checksum of the weights than step 12/);
  });
});
