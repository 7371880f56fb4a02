import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { valuesOf } from '../../fixtures/deploy/units.ts';
import { REFERENCE, TOKEN } from '../../fixtures/processes/options.ts';
import { follow, start, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const script = fileURLToPath(new URL('../../../deploy/systemd/coordinator.sh', import.meta.url));

/** Runs the command in ExecStart with the variables in a coordinator.env. */
function coordinator(environment: NodeJS.ProcessEnv): Started {
  return follow(
    spawn('/bin/sh', [script, '--port', '0', '--no-http'], {
      env: { ...process.env, MNIST_DIST_PICTURES: 'no', MNIST_DIST_TOKEN: TOKEN, ...environment },
    }),
  );
}

it('the unit runs coordinator.env, exits with 143 on SIGTERM, and resumes the run', async () => {
  const runs = temporaryFolder();
  const recipe = { MNIST_DIST_HIDDEN: '8', MNIST_DIST_SEED: '7', MNIST_DIST_BATCH_SIZE: '64' };
  const environment = {
    ...recipe,
    MNIST_DIST_RUNS_DIR: runs,
    MNIST_DIST_RUN_ID: 'first',
    MNIST_DIST_STEPS: '3000',
  };
  const state = (): string =>
    JSON.parse(readFileSync(join(runs, 'first', 'run.json'), 'utf8')).state;

  const joinFile = join(runs, 'first', 'join');
  const joinLine = () => (existsSync(joinFile) ? readFileSync(joinFile, 'utf8') : undefined);

  const first = coordinator(environment);
  const invitation = await until(() => joinLine(), first);
  const worker = start(['worker', ...REFERENCE], { MNIST_DIST_JOIN: invitation });
  const lines = () => readFileSync(join(runs, 'first', 'metrics.jsonl'), 'utf8').split('\n').length;
  await until(() => (lines() > 20 ? true : undefined), first);
  first.process.kill('SIGTERM');
  expect(await first.exited, first.output()).toBe(
    Number(valuesOf('SuccessExitStatus', 'mnist-dist-.service.d/common.conf')[0]),
  );
  expect(state()).toBe('interrupted');
  // The worker ends when its coordinator ends.
  expect(await worker.exited).toBe(143);

  const second = coordinator(environment);
  const again = await until(() => joinLine(), second);
  const other = start(['worker', ...REFERENCE], { MNIST_DIST_JOIN: again });
  expect(await second.exited, second.output()).toBe(0);
  expect(await other.exited).toBe(0);
  expect(state()).toBe('finished');

  const third = coordinator(environment);
  expect(await third.exited).toBe(0);
  expect(third.output()).toContain('is already finished');

  // A coordinator that crashed during the upload cannot know whether it was complete.
  const store = temporaryFolder();
  const fourth = coordinator({ ...environment, MNIST_DIST_ARTIFACTS: `file:${store}` });
  expect(await fourth.exited, fourth.output()).toBe(0);
  expect(existsSync(join(store, 'first', 'manifest.json'))).toBe(true);
});
