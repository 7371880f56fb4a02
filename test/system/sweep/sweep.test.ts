import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { run, start, until, type Started } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const FILE = `
options:
  hidden: 8
  batch-size: 64
  steps: 600
  checkpoint-every: 20
  validation-split: 0.1
vary:
  learning-rate: [0.001, 0.004]
  seed: [1, 2]
`;
const TRIALS = ['trial-001', 'trial-002', 'trial-003', 'trial-004'];

function sweepOf(file: string, runs: string): string[] {
  return ['sweep', file, '--engine', 'reference', '--runs-dir', runs, '--no-http'];
}

/** Waits until a trial has a checkpoint, from which it is resumed. */
async function begun(directory: string, meanwhile: Started): Promise<void> {
  await until(() => (stepsWritten(directory) >= 60 ? true : undefined), meanwhile);
}

it('a sweep that is killed twice and interrupted once has the same runs as any other', async () => {
  const [folder, other] = [temporaryFolder(), temporaryFolder()];
  const file = join(folder, 's.yaml');
  writeFileSync(file, FILE);
  const command = sweepOf(file, folder);
  for (const trial of TRIALS.slice(0, 2)) {
    const killed = start(command);
    await begun(join(folder, 's', trial), killed);
    killed.process.kill('SIGKILL');
    await killed.exited;
  }
  const interrupted = start(command);
  await begun(join(folder, 's', 'trial-003'), interrupted);
  interrupted.process.kill('SIGTERM');
  expect(await interrupted.exited, interrupted.output()).toBe(143);
  expect(interrupted.output()).toMatch(
    /trial-003: Stopped by SIGTERM.*\n.*resume it with: .* sweep/,
  );
  const whole = await run(command);
  expect(whole.code, whole.output).toBe(0);
  expect(whole.output).toContain('trial-003 of 4, resumed: learning-rate 0.004, seed 1');
  expect(whole.output).not.toContain('trial-002 of 4');

  const undisturbed = await run([...sweepOf(file, other), '--format', 'csv', '-n', '1']);
  expect(undisturbed.code, undisturbed.output).toBe(0);
  for (const trial of TRIALS)
    expectSame(readRun(join(folder, 's', trial)), readRun(join(other, 's', trial)));
  expect(readFileSync(join(folder, 's', 'sweep.svg'), 'utf8')).toContain('of 4 trials');

  const again = await run([...command, '--format', 'json']);
  expect(again.code, again.output).toBe(0);
  expect(again.output).toContain('"best": "trial-00');
  writeFileSync(file, FILE.replace('0.004', '0.005'));
  const changed = await run(command);
  expect(changed.code).toBe(2);
  expect(changed.output).toContain('trial-003 has learning-rate 0.004, not 0.005');
  expect(existsSync(join(folder, 's', 'trial-005'))).toBe(false);
});
