import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { compare } from '../../../../cli/commands/compare.ts';
import { compareRuns } from '../../../../cli/runs/compare-runs.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { configuration, honest, makeUp } from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const jsonSchema = z.object({ runs: z.array(z.unknown()), differences: z.array(z.unknown()) });
const other = { ...configuration, learningRate: 0.02, seed: 2 };

async function threeRuns(): Promise<[string, string, string]> {
  const runs = temporaryFolder();
  return [
    await makeUp({ runs, runId: 'one' }),
    await makeUp({ runs, runId: 'two', until: 7 }),
    await makeUp({ runs, runId: 'other', configuration: other }),
  ];
}

async function printedBy(operands: string[], format: 'text' | 'json' | 'csv'): Promise<string> {
  const printed = captured();
  expect(await compare({ runsDir: 'runs', config: undefined, format }, { operands })).toBe(0);
  return printed.out;
}

describe('compare', () => {
  it('prints runs next to each other, and the settings that differ', async () => {
    const lines = (await printedBy(await threeRuns(), 'text')).split('\n');
    expect(lines[0]).toMatch(/^ +one +two +other$/);
    expect(lines[1]).toMatch(/^state +finished +interrupted +finished$/);
    expect(lines[2]).toMatch(/^steps +12 +7 of 12 +12$/);
    const from = lines.indexOf('What differs in the recipes:');
    expect(lines.slice(from + 1, from + 4)).toEqual([
      expect.stringMatching(/^learning rate +0.01 +0.01 +0.02$/),
      expect.stringMatching(/^seed +1 +1 +2$/),
      '',
    ]);
    expect(lines[from + 4]).toBe('one and two have the same recipe, and equal results in 7 steps.');
  });

  it('names the first step that differs, with what was recorded', async () => {
    const runs = temporaryFolder();
    const one = await makeUp({ runs, runId: 'one' });
    const two = await makeUp({
      runs,
      runId: 'two',
      rule: { ...honest, loss: (step) => (step < 5 ? honest.loss(step) : 3) },
    });
    const { pairs } = await compareRuns([one, two], 0);
    expect(pairs[0]).toMatchObject({ equalSteps: 4, difference: { step: 5 } });
    expect(await printedBy([one, two], 'text')).toContain('but part at step 5: losses 0.4');
  });

  it('compares up to a damaged line', async () => {
    const [one, two] = await threeRuns();
    const path = join(two, 'metrics.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"step":3,', '"step":4,'));
    const { pairs } = await compareRuns([one, two], 0);
    expect(pairs[0]).toMatchObject({ equalSteps: 2, difference: undefined });
    expect(pairs[0]?.damage).toContain(`line 3 of ${path} is damaged`);
  });

  it('has a row per run in CSV, and everything in JSON', async () => {
    const three = await threeRuns();
    const rows = (await printedBy(three, 'csv')).trim().split('\n');
    expect(rows).toHaveLength(4);
    expect(rows[0]).toContain('steps_per_second,learning_rate,seed');
    expect(rows[3]).toMatch(/,0\.02,2\s*$/);
    const { runs, differences } = jsonSchema.parse(JSON.parse(await printedBy(three, 'json')));
    expect(runs).toHaveLength(3);
    expect(differences).toContainEqual({ setting: 'seed', values: ['1', '1', '2'] });
  });

  it('needs two runs', async () => {
    const [one] = await threeRuns();
    const options = { runsDir: 'runs', format: 'text', config: undefined } as const;
    await expect(compare(options, { operands: [one] })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(compare(options, { operands: [one, 'no'] })).rejects.toMatchObject({
      message: 'there is no run no',
    });
  });
});
