import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../process/cluster.ts';
import { configuration, makeUp } from './made-up-run.ts';

// As a pull leaves a run: a store has no checkpoints.
it.each([
  ['finished', undefined, 12],
  ['interrupted', 7, 7],
] as const)(
  'a run that is %s and has no checkpoint does not go on, and stays as it is',
  async (state, until, step) => {
    const runs = temporaryFolder();
    const resume = await makeUp({ runs, ...(until === undefined ? {} : { until }) });
    rmSync(join(resume, 'checkpoints'), { recursive: true });
    const files = () =>
      ['run.json', 'metrics.jsonl', 'events.jsonl'].map((name) => readFileSync(join(resume, name), 'utf8'));
    const before = files();
    for (const steps of [12, 20]) {
      await expect(
        makeUp({ runs, resume, configuration: { ...configuration, steps } }),
      ).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(`is ${state} at step ${step} (run.json), and checkpoints/ has none`),
        fix: expect.stringContaining('go on where it ran'),
      });
    }
    expect(files()).toEqual(before);
  },
);
