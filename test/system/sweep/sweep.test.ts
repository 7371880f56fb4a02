import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  steps: 300
  checkpoint-every: 20
  validation-split: 0.1
  tensorboard: LOGS
vary:
  learning-rate: [0.001, 0.004]
  seed: [1, 2, 3, 4, 5, 6]
`;
const TRIALS = Array.from({ length: 12 }, (_, i) => `trial-${String(i + 1).padStart(3, '0')}`);

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
  writeFileSync(file, FILE.replace('LOGS', join(folder, 'logs')));
  const command = sweepOf(file, folder);
  for (const trial of ['trial-002', 'trial-007']) {
    const killed = start(command);
    await begun(join(folder, 's', trial), killed);
    killed.process.kill('SIGKILL');
    await killed.exited;
  }
  const interrupted = start(command);
  await begun(join(folder, 's', 'trial-009'), interrupted);
  interrupted.process.kill('SIGTERM');
  expect(await interrupted.exited, interrupted.output()).toBe(143);
  expect(interrupted.output()).toMatch(
    /trial-009: Stopped by SIGTERM.*\n.*resume it with: .* sweep/,
  );
  const whole = await run(command);
  expect(whole.code, whole.output).toBe(0);
  expect(whole.output).toContain('trial-009 of 12, resumed: learning-rate 0.004, seed 3');
  expect(whole.output).not.toContain('trial-008 of 12');

  const undisturbed = await run([...sweepOf(file, other), '--format', 'csv', '-n', '1']);
  expect(undisturbed.code, undisturbed.output).toBe(0);
  for (const trial of TRIALS)
    expectSame(readRun(join(folder, 's', trial)), readRun(join(other, 's', trial)));
  expect(readFileSync(join(folder, 's', 'sweep.svg'), 'utf8')).toContain('of 12 trials');

  const again = await run([...command, '--format', 'json']);
  expect(again.code, again.output).toBe(0);
  expect(again.output).toMatch(/"best": "trial-0\d\d/);
  expect(readdirSync(join(folder, 'logs', 's'))).toEqual(TRIALS);
  writeFileSync(file, FILE.replace('LOGS', join(folder, 'logs')).replace('0.004', '0.005'));
  const changed = await run(command);
  expect(changed.code).toBe(2);
  expect(changed.output).toContain('trial-007 has learning-rate 0.004, not 0.005');
  expect(existsSync(join(folder, 's', 'trial-013'))).toBe(false);
});

const RATES = `
options:
  hidden: 8
  batch-size: 512
  epochs: 3
  validation-split: 0.1
vary:
  learning-rate: [0.004, 0.00001, 0.005]
`;

it.each([
  ['stops', ''],
  ['with --keep-best stops', '  keep-best: true\n  early-stopping: 3\n'],
])('--stop-after %s a trial at the end of an epoch, and it can be verified', async (_, more) => {
  const folder = temporaryFolder();
  const file = join(folder, 'rates.yaml');
  writeFileSync(file, RATES.replace('vary:', `${more}vary:`));
  const command = [...sweepOf(file, folder), '--stop-after', '2', '--format', 'csv'];
  const whole = await run(command);
  expect(whole.code, whole.output).toBe(0);
  expect(whole.output).toMatch(/trial-002: validation accuracy .* stopped after epoch 2/);
  const directory = join(folder, 'rates', 'trial-002');
  const stopped = readRun(directory).record;
  expect(stopped.state).toBe('interrupted');
  expect(stopped.error?.code).toBe('STOPPED');
  // Two epochs of 54,000 samples.
  expect(stopped.step).toBe(2 * Math.ceil(54_000 / 512));
  for (const trial of ['trial-001', 'trial-003'])
    expect(readRun(join(folder, 'rates', trial)).record.state).toBe('finished');
  const verified = await run(['verify', directory, '--engine', 'reference']);
  expect(verified.code, verified.output).toBe(0);
  const again = await run(command);
  expect(again.code, again.output).toBe(0);
  expect(again.output).not.toContain('of 3');
  expect(again.output).toMatch(/trial-002,.*,stopped,/);
  const other = await run(command.with(command.indexOf('2'), '1'));
  expect(other.code).toBe(2);
  expect(other.output).toContain('--stop-after 2, not 1');
  writeFileSync(file, RATES.replace('  validation-split: 0.1\n', ''));
  const untested = await run([...command, '--run-id', 'untested']);
  expect(untested.code).toBe(2);
  expect(untested.output).toContain('--stop-after needs a validation set');
});
