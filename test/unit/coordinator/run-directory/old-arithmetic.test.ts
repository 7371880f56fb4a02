import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseCommand } from '../../../../cli/program.ts';
import { chooseModel } from '../../../../cli/runs/choose-model.ts';
import { adoptRun } from '../../../../cli/runs/resume.ts';
import { readOverview } from '../../../../cli/runs/run-overview.ts';
import { readRunContents } from '../../../../coordinator/run-directory/run-contents.ts';
import { RecordedRun } from '../../../../dashboards/feed/recorded-run.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';
import { configuration, dataset, makeUp, verifyMadeUp } from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { makeOld } from './old-run.ts';

let directory: string;
beforeEach(async () => {
  directory = await makeUp({ runs: temporaryFolder() });
  makeOld(directory);
});

describe('a run with arithmetic 1', () => {
  it('has the record that mnist-dist 0.2 wrote', () => {
    const text = readFileSync(join(directory, 'run.json'), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      arithmetic: 1,
      configuration: { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
    });
    expect(text).not.toMatch(/optimizer|schedule|warmup|weight_decay/);
    expect(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).not.toContain('learning_rate');
  });

  it('is not verified, and the message says which version can', async () => {
    await expect(verifyMadeUp(directory)).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
      message: expect.stringContaining('arithmetic 1; this mnist-dist uses arithmetic 2'),
      fix: 'verify it with the mnist-dist that computed it (version 0.2.0)',
    });
  });

  it('is not resumed, neither by the command nor by the coordinator', async () => {
    const refusal = {
      code: 'USAGE',
      message:
        `${directory} was computed with arithmetic 1; this mnist-dist uses arithmetic 2, whose ` +
        'steps have different bytes (--resume)',
      fix: 'resume it with the mnist-dist that computed it (version 0.2.0), or start a new run',
    };
    const parsed = parseCommand(['local', '--resume', directory, '--epochs', '9'], {}, '0');
    if (parsed.command !== 'local') throw new Error(`parsed as ${parsed.command}`);
    await expect(adoptRun(parsed.options, parsed.explicit)).rejects.toMatchObject(refusal);
    const longer = { ...configuration, steps: 20 };
    const resumed = makeUp({ runs: '', resume: directory, configuration: longer });
    await expect(resumed).rejects.toMatchObject(refusal);
  });

  it('is listed by `runs` and shown by `show`', async () => {
    expect(await readOverview(directory, 'r', 0)).toMatchObject({
      state: 'finished',
      step: 12,
      steps: 12,
    });
    const shown = await RecordedRun.open(await readRunContents(directory), dataset);
    expect(shown.bad).toBeUndefined();
    expect(shown.view()?.status).toMatchObject({ state: 'finished', step: 12 });
    expect(shown.view()?.configuration).toContainEqual(['optimizer', 'adam']);
    expect(shown.weights()?.step).toBe(12);
  });

  it('is shown without weights if it has only checkpoints, whose format is different', async () => {
    const path = join(directory, 'run.json');
    const { model: _, ...record } = parseRunRecord(readFileSync(path, 'utf8'), path);
    writeFileSync(path, JSON.stringify({ ...record, state: 'failed' }));
    const contents = await readRunContents(directory);
    const shown = await RecordedRun.open({ ...contents, model: undefined }, dataset);
    expect(shown.weights()).toBeUndefined();
  });

  it('has a model that `eval` and `predict` read', async () => {
    const chosen = await chooseModel(directory, '', immediateRetries());
    expect(chosen).toMatchObject({ step: 12, configuration, record: { arithmetic: 1 } });
    const alone = join(temporaryFolder(), 'model.safetensors');
    writeFileSync(alone, readFileSync(join(directory, 'model.safetensors')));
    expect((await chooseModel(alone, '', immediateRetries())).configuration).toEqual(configuration);
  });
});

it('a record with arithmetic 2 needs the optimizer and the schedule', () => {
  const path = join(directory, 'run.json');
  const text = readFileSync(path, 'utf8').replace('"arithmetic":1', '"arithmetic":2');
  expect(() => parseRunRecord(text, path)).toThrow('is not a run of format 1');
});
