import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readRunContents } from '../../../../coordinator/run-directory/run-contents.ts';
import { firstLink } from '../../../../shared/files/chain.ts';
import type { Checkpoint } from '../../../../shared/files/checkpoint-file.ts';
import { configurationRecord } from '../../../../shared/configuration.ts';
import type { MetricsLine } from '../../../../shared/files/metrics.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';
import type { RunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { changeCheckpoint, checkpointOf, expectDifference, forge } from './forgery.ts';
import { crash, edit, without } from './record-edits.ts';
import {
  configuration,
  dataset,
  makeUp,
  splitConfiguration,
  verifyMadeUp,
} from '../../../fixtures/recorded-run.ts';
import { planReplay, checkDataset } from '../../../../coordinator/replay/replay-plan.ts';

const evaluatedAt = (test: number) => ({ evaluated: { validation: 0, test } });

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

describe('before anything is computed, a replay rejects', () => {
  const records: [string, (record: RunRecord) => object, RegExp][] = [
    [
      'more steps',
      (record) => ({ ...record, step: 13 }),
      /says that 13 steps were done, but metrics.jsonl has 12/,
    ],
    ['fewer steps', (record) => ({ ...record, step: 11 }), /a different chain link than step 11/],
    [
      'a different chain link',
      (record) => ({ ...record, chain: 'ab'.repeat(32) }),
      /a different chain link than step 12: abab/,
    ],
    [
      'different weights',
      (record) => ({ ...record, weights: 'ab'.repeat(8) }),
      /a different checksum .* than step 12: abab/,
    ],
    [
      'no result',
      (record) => without(record, 'result'),
      /says that the run finished, but has no result/,
    ],
    [
      'a different length',
      (record) => ({ ...record, configuration: { ...record.configuration, steps: 13 } }),
      /says that the run finished after 12 of 13 steps/,
    ],
    [
      'a different configuration',
      (record) => ({ ...record, configuration: { ...record.configuration, learning_rate: 0.02 } }),
      /the chain breaks at step 1 of .* the configuration in run.json/,
    ],
  ];
  it.each(records)('run.json with %s', async (_, change, words) => {
    const directory = await makeUp({ runs });
    edit(directory, change);
    await expectDifference(directory, words);
  });

  const lines: [string, (line: MetricsLine) => MetricsLine[], RegExp][] = [
    [
      'a different loss',
      (line) => [line.step === 4 ? { ...line, loss: 9 } : line],
      /the chain breaks at step 4/,
    ],
    [
      'a different epoch',
      (line) => [line.step === 4 ? { ...line, epoch: 2 } : line],
      /puts step 4 into epoch 2/,
    ],
    [
      'a different learning rate',
      (line) => [line.step === 4 && line.kind === 'step' ? { ...line, learning_rate: 0.1 } : line],
      /line 4 of .* has the learning rate 0.1; that of step 4 is 0.01/,
    ],
    [
      'no learning rate',
      (line) => [line.kind === 'step' ? { ...line, learning_rate: undefined } : line],
      /line 1 of .* has the learning rate undefined; that of step 1 is 0.01/,
    ],
    [
      'no step 4',
      (line) => (line.step === 4 ? [] : [line]),
      /line 4 of .* is step 5 instead of step 4/,
    ],
    [
      'step 4 twice',
      (line) => (line.step === 4 ? [line, line] : [line]),
      /line 5 of .* is step 4 instead of step 5/,
    ],
    [
      'an evaluation twice',
      (line) => (line.kind === 'evaluation' ? [line, line] : [line]),
      /line 7 of .* is a misplaced evaluation after step 5/,
    ],
    [
      'an evaluation too soon',
      (line) =>
        line.step === 5 && line.kind === 'evaluation' ? [{ ...line, step: 6, epoch: 2 }] : [line],
      /line 6 of .* is a misplaced evaluation after step 6/,
    ],
    [
      'no evaluation of an epoch',
      (line) => (line.kind === 'evaluation' && line.step === 5 ? [] : [line]),
      /lacks the evaluation of the test set after step 5/,
    ],
    [
      'no last evaluation',
      (line) => (line.kind === 'evaluation' && line.step === 12 ? [] : [line]),
      /lacks the evaluation of the test set after step 12/,
    ],
  ];
  it.each(lines)('metrics.jsonl with %s', async (_, change, words) => {
    const directory = await makeUp({ runs });
    forge(directory, change, false);
    await expectDifference(directory, words);
  });

  it('metrics.jsonl that was cut, changed, or has text after a line', async () => {
    const directory = await makeUp({ runs, until: 7 });
    const path = join(directory, 'metrics.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, text.trimEnd().lastIndexOf('\n') + 1));
    await expectDifference(directory, /says that 7 steps were done, but metrics.jsonl has 6/);
    writeFileSync(path, text.replace('"correct":4', '"correct":5'));
    await expectDifference(directory, /line 4 of .* is damaged/);
    crash(directory);
    edit(directory, (record) => ({ ...record, step: 0, chain: firstLink(configuration) }));
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    rmSync(join(directory, 'model.safetensors'));
    writeFileSync(path, `${text.trimEnd()}x`);
    await expectDifference(directory, /line 8 of .* has text after its end/);
  });

  it('a model that is missing, from a different run, or without a step', async () => {
    const directory = await makeUp({ runs, until: 7 });
    const path = join(directory, 'model.safetensors');
    const intact = readFileSync(path);
    rmSync(path);
    await expectDifference(directory, /model.safetensors is missing/);
    crash(directory);
    const { metadata, tensors } = decodeTensors(intact, path);
    const rewrite = (change: Record<string, string>) =>
      writeFileSync(path, encodeTensors({ metadata: { ...metadata, ...change }, tensors }));
    rewrite({ configuration: JSON.stringify(configurationRecord({ ...configuration, seed: 2 })) });
    await expectDifference(directory, /has a different configuration than the run/);
    rewrite({ configuration: '{' });
    await expectDifference(directory, /has a different configuration than the run/);
    rewrite({ step: 'x' });
    await expectDifference(directory, /does not say which step it is from/);
    rewrite({ step: '8' });
    await expectDifference(directory, /is from step 8, but metrics.jsonl ends at step 7/);
    writeFileSync(path, intact.subarray(0, 100));
    await expectDifference(directory, /is not an intact safetensors file/);
  });

  const checkpoints: [string, Partial<Checkpoint>, RegExp][] = [
    ['a different step', { step: 6 }, /is a checkpoint of step 6/],
    ['a different chain link', { chain: 'ab'.repeat(32) }, /a different chain link than step 7/],
    [
      'a different engine',
      { fingerprint: 'ab'.repeat(32) },
      /computed by a different engine than the run: fingerprint abab/,
    ],
    ['a wrong evaluation', evaluatedAt(6), /the last evaluation of the test set was after step 6/],
    ['an older evaluation', evaluatedAt(0), /the last evaluation of the test set was after step 0/],
  ];
  it.each(checkpoints)('a checkpoint with %s', async (_, change, words) => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), () => change);
    await expectDifference(directory, words);
  });

  it('a checkpoint of a step that has no line', async () => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), () => ({ step: 8 }));
    renameSync(checkpointOf(directory, 7), checkpointOf(directory, 8));
    await expectDifference(directory, /is from a step that metrics.jsonl does not have/);
  });

  it('a checkpoint that cannot be read', async () => {
    const directory = await makeUp({ runs, until: 7 });
    mkdirSync(checkpointOf(directory, 6));
    await expect(verifyMadeUp(directory)).rejects.toMatchObject({ code: 'DATA' });
  });
});

describe('a run with a validation set is rejected with', () => {
  const lines: [string, (line: MetricsLine) => MetricsLine[], RegExp][] = [
    [
      'no evaluation of an epoch',
      (line) => (line.kind === 'evaluation' && line.step === 4 ? [] : [line]),
      /lacks the evaluation of the validation set after step 4/,
    ],
    [
      'no test at its end',
      (line) => (line.kind === 'evaluation' && line.set === 'test' ? [] : [line]),
      /lacks the evaluation of the test set after step 12/,
    ],
    [
      'two evaluations of one set after a step',
      (line) =>
        line.kind === 'evaluation' && line.step === 12 ? [{ ...line, set: 'test' }] : [line],
      /is a misplaced evaluation after step 12/,
    ],
  ];
  it.each(lines)('%s', async (_, change, words) => {
    const directory = await makeUp({ runs, configuration: splitConfiguration });
    forge(directory, change, false);
    await expectDifference(directory, words);
  });

  it.each([
    ['validation', { validation: 0, test: 0 }],
    ['test', { validation: 8, test: 8 }],
  ] as const)('a checkpoint with a wrong evaluation of the %s set', async (set, evaluated) => {
    const directory = await makeUp({ runs, configuration: splitConfiguration, until: 9 });
    changeCheckpoint(checkpointOf(directory, 9), () => ({ evaluated }));
    await expectDifference(
      directory,
      new RegExp(`says that the last evaluation of the ${set} set was after step`),
    );
  });

  it('an evaluation of a validation set that the run does not have', async () => {
    const directory = await makeUp({ runs });
    forge(
      directory,
      (line) => [line.kind === 'evaluation' ? { ...line, set: 'validation' } : line],
      false,
    );
    await expectDifference(directory, /is of a validation set, which the run does not have/);
  });
});

it('a replay accepts a checkpoint from before the evaluation of its own step', async () => {
  const directory = await makeUp({ runs, until: 5 });
  changeCheckpoint(checkpointOf(directory, 5), () => evaluatedAt(0));
  expect(await verifyMadeUp(directory)).toMatchObject({ steps: 5, checkpoints: 1 });
});

describe('what a replay reports as not replayable, rather than as different:', () => {
  async function expectNotReplayable(directory: string, words: RegExp): Promise<void> {
    await expect(verifyMadeUp(directory)).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
      message: expect.stringMatching(words),
    });
  }

  it('a run with mixed engines', async () => {
    await expectNotReplayable(
      await makeUp({ runs, mixed: true }),
      /was computed with mixed engines/,
    );
  });

  it('a run without a step', async () => {
    await expectNotReplayable(await makeUp({ runs, until: 0 }), /has no step/);
  });

  it('a run with a newer arithmetic, even if its run.json has unknown fields', async () => {
    const directory = join(runs, 'r');
    mkdirSync(directory);
    writeFileSync(join(directory, 'run.json'), '{"arithmetic":3,"version":"9.9.9","new":1}');
    await expectNotReplayable(directory, /arithmetic 3; this mnist-dist uses arithmetic 2/);
  });

  it('a different dataset, unless only its sizes in run.json are wrong', async () => {
    const directory = await makeUp({ runs });
    const replay = await planReplay(await readRunContents(directory), undefined);
    expect(() => checkDataset(replay, { ...dataset, digest: 'ab'.repeat(32) })).toThrow(
      expect.objectContaining({ code: 'NOT_REPLAYABLE' }),
    );
    rmSync(checkpointOf(directory, 12));
    edit(directory, (record) => ({
      ...record,
      configuration: { ...record.configuration, test_samples: 21 },
    }));
    forge(directory, (line) => [line], true);
    await expectDifference(directory, /the sizes in .*run.json differ from those of its dataset/);
  });
});

it('a folder that is not a run, or has an invalid run.json, cannot be read', async () => {
  await expect(readRunContents(runs)).rejects.toMatchObject({ code: 'USAGE' });
  writeFileSync(join(runs, 'run.json'), '{');
  await expect(readRunContents(runs)).rejects.toMatchObject({ code: 'DATA' });
});

describe('a run that is still running', () => {
  /** Writes the lock of a process on another host, which may still be running. */
  function atWork(directory: string): void {
    const owner = { host: 'another', boot: 'b', pid: 1, started: '1' };
    writeFileSync(join(directory, 'lock.json'), JSON.stringify(owner));
  }

  it('may have removed old checkpoints, but a run that has ended may not', async () => {
    const resume = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume });
    const contents = await readRunContents(resume);
    rmSync(checkpointOf(resume, 7));
    await expect(planReplay(contents, undefined)).rejects.toThrow(
      /step-0000000007.safetensors cannot be read/,
    );
    expect((await planReplay({ ...contents, writer: 'w' }, 8)).start.step).toBe(0);
  });

  it('may have a model that is newer than its lines', async () => {
    const directory = await makeUp({ runs, until: 7 });
    crash(directory);
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    edit(directory, (record) => ({ ...record, step: 0, chain: firstLink(configuration) }));
    const path = join(directory, 'metrics.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, text.trimEnd().lastIndexOf('\n') + 1));
    await expectDifference(
      directory,
      /model.safetensors is from step 7, but metrics.jsonl ends at step 6/,
    );
    atWork(directory);
    expect((await readRunContents(directory)).writer).toBe(
      'process 1 on another, if it is still running,',
    );
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 6, model: false });
  });
});

it.each(['metrics.jsonl', 'model.safetensors', 'run.json'])(
  'a %s that cannot be read is reported',
  async (name) => {
    const directory = await makeUp({ runs });
    rmSync(join(directory, name));
    mkdirSync(join(directory, name));
    const planned = readRunContents(directory).then((contents) => planReplay(contents, undefined));
    await expect(planned).rejects.toMatchObject({
      code: 'DATA',
      message: expect.stringContaining(`${name} cannot be read`),
    });
  },
);

it('checkpoints that cannot be listed are reported', async () => {
  const directory = await makeUp({ runs });
  rmSync(join(directory, 'checkpoints'), { recursive: true });
  writeFileSync(join(directory, 'checkpoints'), '');
  await expect(readRunContents(directory)).rejects.toMatchObject({ code: 'DATA' });
});
