import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeCheckpoint, type Checkpoint } from '../../../../shared/files/checkpoint-file.ts';
import type { EvaluationLine, MetricsLine } from '../../../../shared/files/metrics.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import {
  configuration,
  makeUp,
  patientConfiguration,
  verifyMadeUp,
} from '../../../fixtures/recorded-run.ts';
import { changeCheckpoint, checkpointOf, expectDifference, forge, linesOf } from './forgery.ts';
import { crash, edit } from './record-edits.ts';

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

// A loss must fall by 9 to count: the first evaluation, after step 4, stays the best.
const impatient = patientConfiguration(2, 9);
const recordIn = (directory: string) =>
  parseRunRecord(readFileSync(join(directory, 'run.json'), 'utf8'), 'run.json');
const evaluationsIn = (directory: string) =>
  linesOf(directory).flatMap((line) =>
    line.kind === 'evaluation' ? [`${line.set} ${line.step}`] : [],
  );
const expected = ['validation 4', 'validation 8', 'validation 12', 'test 12'];
const longer = { ...impatient, steps: 40 };

describe('a run that stops early', () => {
  it('ends with a test, and says why; verify replays the decision', async () => {
    const directory = await makeUp({ runs, configuration: longer });
    expect(evaluationsIn(directory)).toEqual(expected);
    expect(recordIn(directory)).toMatchObject({
      state: 'finished',
      step: 12,
      best: { step: 4, waited: 2 },
      stopped_early: 'stopped early after epoch 3; best epoch 1',
    });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 12, evaluations: 4, model: true });
    expect(await verifyMadeUp(directory, { from: 12 })).toMatchObject({ steps: 0, evaluations: 2 });
  });

  it('ends with the same bytes when it was interrupted and resumed', async () => {
    const once = await makeUp({ runs, configuration: longer });
    for (const until of [3, 4, 7, 8, 11]) {
      const resume = await makeUp({ runs, configuration: longer, until });
      await makeUp({ runs, resume, configuration: longer });
      expect(evaluationsIn(resume)).toEqual(expected);
      for (const name of ['model.safetensors'])
        expect(readFileSync(join(resume, name))).toEqual(readFileSync(join(once, name)));
      expect(await verifyMadeUp(resume)).toMatchObject({ steps: 12, model: true });
    }
  });

  it('stays stopped, also with more epochs', async () => {
    const directory = await makeUp({ runs, configuration: longer });
    const more = { runs, resume: directory, configuration: { ...longer, steps: 80 } };
    await expect(makeUp(more)).rejects.toThrow(
      /is finished: stopped early after epoch 3; best epoch 1/,
    );
    // A run that was killed after its decision repeats only the test.
    crash(directory);
    await makeUp(more);
    expect(evaluationsIn(directory)).toEqual(expected);
    expect(recordIn(directory)).toMatchObject({ state: 'finished', step: 12 });
  });

  it('with the test set as judge repeats its last evaluation when it was killed', async () => {
    const { validationSamples: _, ...rest } = longer;
    const chosen = { ...rest, trainSamples: 40 };
    const directory = await makeUp({ runs, configuration: chosen });
    const lines = linesOf(directory);
    crash(directory);
    await makeUp({ runs, resume: directory, configuration: chosen });
    expect(linesOf(directory)).toEqual(lines);
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 15, evaluations: 3 });
  });
});

it('an evaluation at the end of a shorter run also counts in a longer one', async () => {
  const short = { ...patientConfiguration(3), steps: 6 };
  const resume = await makeUp({ runs, configuration: short });
  // The longer run resumes from before step 6, which does not end an epoch.
  await makeUp({
    runs,
    resume: await makeUp({ runs, configuration: short, until: 5 }),
    configuration: short,
  });
  const other = await makeUp({ runs, configuration: short, until: 5 });
  await makeUp({ runs, resume: other, configuration: short });
  rmSync(checkpointOf(other, 6));
  crash(other);
  const long = { ...short, steps: 14 };
  for (const directory of [resume, other])
    await makeUp({ runs, resume: directory, configuration: long });
  const model = (directory: string) => readFileSync(join(directory, 'model.safetensors'));
  expect(model(other)).toEqual(model(resume));
  expect(evaluationsIn(other)).toContain('validation 6');
  expect(await verifyMadeUp(other)).toMatchObject({ steps: 14, model: true });
});

describe('verify finds, in a run with early stopping,', () => {
  const cases: [string, (line: MetricsLine) => MetricsLine[], RegExp][] = [
    [
      'a changed digit of an evaluation',
      (line) => [isValidation(line, 8) ? { ...line, correct: line.correct + 1 } : line],
      /the chain breaks at line \d+/,
    ],
    [
      'an evaluation without a link',
      (line) => [isValidation(line, 8) ? { ...line, chain: undefined } : line],
      /the chain breaks at line \d+/,
    ],
  ];
  const isValidation = (line: MetricsLine, step: number): line is EvaluationLine =>
    line.kind === 'evaluation' && line.set === 'validation' && line.step === step;
  it.each(cases)('%s', async (_, change, words) => {
    const directory = await makeUp({ runs, configuration: longer });
    forge(directory, change, false);
    await expectDifference(directory, words);
  });

  it('a different best step in run.json', async () => {
    const directory = await makeUp({ runs, configuration: longer });
    edit(directory, (record) => ({
      ...record,
      best: { step: 8, loss: 1, waited: 1 },
    }));
    await expectDifference(directory, /says that the best step was 8; the lines have best step 4/);
  });

  it('steps after the decision', async () => {
    const directory = await makeUp({ runs, configuration: patientConfiguration(9, 9) });
    edit(directory, (record) => ({
      ...record,
      configuration: { ...record.configuration, early_stopping: 1 },
    }));
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    forge(directory, (line) => [line], true);
    await expectDifference(directory, /is step 9, but the run stopped early before it/);
  });

  it('a checkpoint with a different judgement', async () => {
    const directory = await makeUp({ runs, configuration: longer, until: 9 });
    const change = ({ judgement }: Checkpoint): Partial<Checkpoint> => ({
      judgement: judgement && { ...judgement, waited: 0 },
    });
    changeCheckpoint(checkpointOf(directory, 9), change);
    await expectDifference(directory, /has a different best evaluation than metrics.jsonl/);
  });
});

it('a checkpoint keeps the exact bits of the best loss', async () => {
  const directory = await makeUp({ runs, configuration: longer, until: 9 });
  const path = checkpointOf(directory, 9);
  const { judgement } = decodeCheckpoint(readFileSync(path), path, longer);
  const line = linesOf(directory).find(({ kind, step }) => kind === 'evaluation' && step === 4);
  const { loss, chain: link } = line ?? {};
  expect(judgement).toEqual({ step: 8, best: { step: 4, loss, link }, waited: 1 });
});

it('a run without early stopping has no links in its evaluations', async () => {
  const directory = await makeUp({ runs, configuration });
  expect(
    linesOf(directory).filter((line) => line.kind === 'evaluation' && 'chain' in line),
  ).toEqual([]);
  expect(recordIn(directory).best).toBeUndefined();
});
