import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Random } from '../../fixtures/seeded-random.ts';
import { findChild, gone } from '../../fixtures/processes/children.ts';
import { startCoordinator, startWorker, train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { start, until } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const STEPS = 6000;
const WORKERS = ['w0', 'w1', 'w2'];
const WORKER_KILLS = 6;
const COORDINATOR_KILLS = 2;
const KILLS = WORKER_KILLS + COORDINATOR_KILLS;

/**
 * Plans which process is killed after which step, in order. The last kill is early enough that the
 * killed process comes back before the end of the run.
 */
function planKills(random: Random): { step: number; victim: string }[] {
  const victims = Array.from({ length: KILLS }, (_, i) =>
    i < WORKER_KILLS ? random.pick(WORKERS) : 'coordinator',
  );
  return Array.from({ length: KILLS }, (_, i) => {
    const [victim = ''] = victims.splice(random.below(victims.length), 1);
    return { step: Math.floor(((i + random.next()) / KILLS) * 0.6 * STEPS), victim };
  });
}

describe('a run of 6000 steps', () => {
  let undisturbed: FinishedRun;

  it('trains undisturbed, for comparison', async () => {
    undisturbed = await train([...REFERENCE, ...QUICK_RECIPE, '--steps', String(STEPS), '-n', '3']);
    expect(undisturbed.record.step).toBe(STEPS);
  });

  it('continues when its workers and its coordinator are killed at random', async () => {
    const seed = Number(process.env['KILLS_SEED'] ?? randomInt(2 ** 31));
    process.stdout.write(`KILLS_SEED=${seed} repeats these kills\n`);
    const kills = planKills(new Random(seed));
    const runs = temporaryFolder();
    const options = ['--steps', String(STEPS), '-n', '3', '--checkpoint-every', '200'];
    const local = start([...quickLocal(runs), ...options]);
    let written = 0;
    for (const { step, victim } of kills) {
      // Waits until the run has continued since the last kill and the process has been restarted.
      const least = Math.max(step, written + 1);
      const child = await until(
        () => (stepsWritten(join(runs, 'r')) < least ? undefined : findChild(local, victim)),
        local,
      );
      process.kill(child.pid, 'SIGKILL');
      await gone([child]);
      written = stepsWritten(join(runs, 'r'));
    }
    expect(await local.exited, local.output()).toBe(0);
    expect(local.output().match(/was ended by signal 9; restarting it/g)).toHaveLength(KILLS);
    const disturbed = readRun(join(runs, 'r'));
    expectSame(disturbed, undisturbed);
    expect(disturbed.record.term).toBe(1 + COORDINATOR_KILLS);
  });
});

it('a run begins without a worker that is killed each time before it is ready', async () => {
  const runs = temporaryFolder();
  const local = start([...quickLocal(runs), '--steps', '20', '-n', '2', '--max-restarts', '1000']);
  const killing = setInterval(() => {
    const child = findChild(local, 'w1');
    if (child !== undefined) process.kill(child.pid, 'SIGKILL');
  }, 20);
  onTestFinished(() => clearInterval(killing));
  expect(await local.exited, local.output()).toBe(0);
  expect(readRun(join(runs, 'r')).record.workers.map(({ name }) => name)).toEqual(['w0']);
});

describe('a run that a worker joins every few steps', () => {
  const JOINING = 8;
  const args = [...QUICK_RECIPE, '--steps', '400'];

  it('counts every sample once, although most workers are killed after a shard', async () => {
    const undisturbed = await train([...REFERENCE, ...args, '-n', '2']);
    // The run needs two workers, so it pauses while one is missing.
    const {
      process: coordinator,
      url,
      runs,
    } = await startCoordinator([...args, '--min-workers', '2']);
    const stays = startWorker(url, ['--name', 'stays']);
    for (let i = 0; i < JOINING; i++) {
      const joining = startWorker(url, ['--name', `joins${i}`]);
      await coordinator.says(new RegExp(`joins${i} delivered its first shard`));
      joining.process.kill('SIGKILL');
      await joining.exited;
    }
    const last = startWorker(url, ['--name', 'last']);
    for (const each of [coordinator, stays, last]) expect(await each.exited, each.output()).toBe(0);

    const disturbed = readRun(join(runs, 'r'));
    expectSame(disturbed, undisturbed);
    const { workers } = disturbed.record;
    const names = ['last', 'stays', ...Array.from({ length: JOINING }, (_, i) => `joins${i}`)];
    expect(workers.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    expect(workers.every(({ samples }) => samples > 0)).toBe(true);
    const steps = disturbed.lines.filter(({ kind }) => kind === 'step');
    expect(sum(workers)).toBe(sum(steps));
    const lost = disturbed.events.filter(({ event }) => event === 'lost');
    expect(lost).toHaveLength(JOINING);
  });
});

function sum(counted: readonly { readonly samples: number }[]): number {
  return counted.reduce((total, { samples }) => total + samples, 0);
}

it('a restarted coordinator does not take other options from variables', async () => {
  const runs = temporaryFolder();
  const options = ['--model', 'mlp', '--steps', '1200', '-n', '1', '--checkpoint-every', '300s'];
  const local = start([...quickLocal(runs), ...options], { MNIST_DIST_RECIPE: 'best' });
  const child = await until(
    () => (stepsWritten(join(runs, 'r')) === 0 ? undefined : findChild(local, 'coordinator')),
    local,
  );
  process.kill(child.pid, 'SIGKILL');
  expect(await local.exited, local.output()).toBe(0);
  const { record } = readRun(join(runs, 'r'));
  expect(record).toMatchObject({ term: 2, configuration: { optimizer: { kind: 'adamw' } } });
});
