import { join } from 'node:path';
import { expect, it } from 'vitest';
import { assert } from '../../../shared/errors.ts';
import { findChild } from '../../fixtures/processes/children.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** No loss falls by 9, so the first epoch stays the best, and the run stops after the second. */
const RECIPE = [
  '--validation-split',
  '0.1',
  '--early-stopping',
  '1',
  '--min-delta',
  '9',
  '--keep-best',
  '--epochs',
  '9',
];

it('a killed run stops after the same epoch and has the same best model', async () => {
  const undisturbed = await train([...REFERENCE, ...QUICK_RECIPE, ...RECIPE, '-n', '1']);
  expect(undisturbed.record).toMatchObject({
    state: 'finished',
    step: 1688,
    best: { step: 844, waited: 1 },
    model: { step: 844 },
    stopped_early: 'stopped early after epoch 2; best epoch 1',
  });

  const runs = temporaryFolder();
  const options = [...RECIPE, '-n', '3', '--checkpoint-every', '100'];
  const local = start([...quickLocal(runs), ...options]);
  for (const [says, term] of [
    [/w1 delivered its first shard/, 2],
    [/epoch 1\/9 .* validation loss/, 3],
  ] as const) {
    await local.says(says);
    const coordinator = findChild(local, 'coordinator');
    assert(coordinator !== undefined, 'local has a coordinator');
    process.kill(coordinator.pid, 'SIGKILL');
    await local.says(new RegExp(`resuming after step \\d+ \\(term ${term}\\)`));
  }
  expect(await local.exited, local.output()).toBe(0);
  const resumed = readRun(join(runs, 'r'));
  expect(resumed.record).toMatchObject({ state: 'finished', term: 3, model: { step: 844 } });
  expectSame(resumed, undisturbed);
  expect(resumed.record.best).toEqual(undisturbed.record.best);

  const verified = await run(['verify', join(runs, 'r'), '-n', '1']);
  expect(verified.code, verified.output).toBe(0);
  const more = await run(['local', '--resume', join(runs, 'r'), '--epochs', '20']);
  expect(more.output).toContain('is finished: stopped early after epoch 2; best epoch 1');
});
