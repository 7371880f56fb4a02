import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { assert, errorTable } from '../../../shared/errors.ts';
import { IDLE_LIMIT_MILLISECONDS } from '../../../shared/limits.ts';
import { readMetrics } from '../../../shared/files/metrics.ts';
import { childOf, findChild, gone } from '../../fixtures/processes/children.ts';
import { interrupt, startCoordinator, train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, quickLocal, REFERENCE, TOKEN } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const STEPS = 1200;
const COMMON = ['--steps', String(STEPS), '-n', '2'];

/** Node's default backlog for a listener. */
const NODES_BACKLOG = 511;

/** The backlog that the system has set for a listener; undefined on a machine without `ss`. */
function backlogOf(port: number): number | undefined {
  const { stdout } = spawnSync('ss', ['-Hltn', `sport = :${port}`], { encoding: 'utf8' });
  return stdout === null || stdout === '' ? undefined : Number(stdout.split(/\s+/)[2]);
}

describe('a run that is disturbed', () => {
  let undisturbed: FinishedRun;

  it('trains undisturbed, for comparison', async () => {
    undisturbed = await train([...REFERENCE, ...QUICK_RECIPE, ...COMMON]);
    expect(undisturbed.record.step).toBe(STEPS);
    expect(undisturbed.lines.filter(({ kind }) => kind === 'step')).toHaveLength(STEPS);
  });

  it('resumes automatically when the coordinator and workers are killed', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...COMMON, '--checkpoint-every', '100']);
    await local.says(/w1 delivered its first shard/);
    process.kill(childOf(local, 'w0'), 'SIGKILL');
    await local.says(/w0 was ended by signal 9; restarting it \(1 of at most 100/);
    const coordinator = findChild(local, 'coordinator');
    assert(coordinator !== undefined, 'local has a coordinator');
    const port = Number(/--port=(\d+)/.exec(coordinator.arguments)?.[1]);
    expect(backlogOf(port)).not.toBe(NODES_BACKLOG);
    process.kill(coordinator.pid, 'SIGKILL');
    await gone([coordinator]);
    // While the coordinator is down, the port stays reserved for this run.
    await expect(once(createServer().listen(port, '127.0.0.1'), 'listening')).rejects.toMatchObject(
      {
        code: 'EADDRINUSE',
      },
    );
    await local.says(/resuming after step \d+ \(term 2\)/);
    expect(await local.exited, local.output()).toBe(0);
    const resumed = readRun(join(runs, 'r'));
    expect(resumed.record).toMatchObject({ state: 'finished', term: 2 });
    expect(resumed.events.filter(({ event }) => event === 'start')).toHaveLength(2);
    expectSame(resumed, undisturbed);
  });

  it('does not lose a step when all workers are killed at the same time', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...COMMON]);
    await local.says(/w1 delivered its first shard/);
    for (const name of ['w0', 'w1']) process.kill(childOf(local, name), 'SIGKILL');
    await local.says(/no worker is left; waiting for more/);
    expect(await local.exited, local.output()).toBe(0);
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });

  it('reassigns the work of a suspended worker until it continues', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...COMMON]);
    await local.says(/w1 delivered its first shard/);
    // The first leases last half a minute; once some results are known, leases follow the workers'
    // speed.
    const lines = join(runs, 'r', 'metrics.jsonl');
    await vi.waitUntil(() => statSync(lines).size > 1000, { timeout: 60_000 });
    const worker = childOf(local, 'w1');
    const from = local.output().length;
    process.kill(worker, 'SIGSTOP');
    await local.says(/w1 is late; its work is reassigned/, from);
    process.kill(worker, 'SIGCONT');
    expect(await local.exited, local.output()).toBe(0);
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });

  it('continues with workers that were suspended for longer than silence may last', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), '--steps', String(STEPS), '-n', '4']);
    await local.says(/w3 delivered its first shard/);
    const workers = ['w1', 'w2', 'w3'].map((name) => childOf(local, name));
    for (const worker of workers) process.kill(worker, 'SIGSTOP');
    const coordinator = childOf(local, 'coordinator');
    process.kill(coordinator, 'SIGSTOP');
    await sleep(IDLE_LIMIT_MILLISECONDS + 5_000);
    for (const each of [coordinator, ...workers]) process.kill(each, 'SIGCONT');
    expect(await local.exited, local.output()).toBe(0);
    expect(local.output()).not.toContain('restarting it');
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });

  it('continues with the workers that are connected when its coordinator is back', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...COMMON, '--checkpoint-every', '20']);
    await local.says(/w1 delivered its first shard/);
    const worker = childOf(local, 'w1');
    process.kill(worker, 'SIGSTOP');
    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    await local.says(/resuming after step \d+ \(term 2\)/);
    expect(await local.exited, local.output()).toBe(0);
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });

  it('resumes after Ctrl-C with a different number of workers', async () => {
    const runs = temporaryFolder();
    const options = [...REFERENCE, ...QUICK_RECIPE, ...COMMON, '--port', '0'];
    const policy = ['--checkpoint-every', '1h', '--audit', '0.5'];
    const local = start(['local', ...options, ...policy, '--runs-dir', runs]);
    await interrupt(local);
    const [id = ''] = readdirSync(runs);
    expect(readdirSync(join(runs, id, 'checkpoints'))).toHaveLength(1);
    // Options that are not given here come from the run.
    const again = ['local', '--resume', '--runs-dir', runs, ...REFERENCE, '-n', '3', '--port', '0'];
    const { code, output } = await run(again);
    expect(code, output).toBe(0);
    const resumed = readRun(join(runs, id));
    expectSame(resumed, undisturbed);
    expect(resumed.record.launch).toMatchObject({ audit: 0.5, allow_mixed_engines: false });

    const third = await run(again);
    expect(third.code, third.output).toBe(errorTable.USAGE.exit);
    expect(third.output).toMatch(/there is no unfinished run in /);
  });

  it('can be extended after it has finished', async () => {
    const runs = temporaryFolder();
    expect((await run([...quickLocal(runs), '--steps', '300'])).code).toBe(0);
    const resume = ['local', '--resume', join(runs, 'r'), '--engine', 'reference', '--port', '0'];
    const asItIs = await run(resume);
    expect(asItIs.code, asItIs.output).toBe(errorTable.USAGE.exit);
    expect(asItIs.output).toMatch(/is finished/);
    const longer = await run([...resume, '--steps', String(STEPS)]);
    expect(longer.code, longer.output).toBe(0);
    const { record, modelSha256 } = readRun(join(runs, 'r'));
    expect(record.chain).toBe(undisturbed.record.chain);
    expect(modelSha256).toBe(undisturbed.modelSha256);
    // The time that `runs` lists covers both parts, including the waits for workers, but not the
    // pause between the parts.
    const secondsIn = (text: string | undefined) => {
      const [, minutes, seconds] = /(\d+):(\d\d)/.exec(text ?? '') ?? [];
      return 60 * Number(minutes) + Number(seconds);
    };
    const listed = await run(['runs', '--runs-dir', runs]);
    const [trained] = /1,200 steps in \d+:\d\d with 2 workers/.exec(longer.output) ?? [];
    expect(secondsIn(trained), longer.output).toBeLessThanOrEqual(secondsIn(listed.output));
  });
});

describe('a run to resume', () => {
  async function interrupted(): Promise<{ runs: string; directory: string }> {
    const runs = temporaryFolder();
    const options = ['--checkpoint-every', '20', '--keep', '100'];
    const local = start([...quickLocal(runs), ...COMMON, ...options]);
    await interrupt(local);
    return { runs, directory: join(runs, 'r') };
  }
  const resume = ['local', '--resume', '--engine', 'reference', '--port', '0', '--runs-dir'];

  it('is rejected with a different recipe, and the error says which option differs', async () => {
    const { runs } = await interrupted();
    const { code, output } = await run([...resume, runs, '--batch-size', '32', '--seed', '5']);
    expect(code, output).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(/has different settings: --batch-size 64, not 32; --seed \d+, not 5/);
  });

  it('is rejected if it does not exist, with a suggestion', async () => {
    const { runs, directory } = await interrupted();
    const { code, output } = await run(['local', '--resume', 'r', '--runs-dir', runs]);
    expect(code, output).toBe(errorTable.USAGE.exit);
    expect(output).toContain(`there is no run r\n  did you mean ${directory}?`);
  });

  it('is rejected if it would become shorter', async () => {
    const { runs } = await interrupted();
    const { code, output } = await run([...resume, runs, '--steps', String(STEPS - 1)]);
    expect(code, output).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(new RegExp(`has ${STEPS} steps; ${STEPS - 1} would make it shorter`));
  });

  it('is rejected if its record was changed', async () => {
    const { runs, directory } = await interrupted();
    const path = join(directory, 'metrics.jsonl');
    const text = readFileSync(path, 'utf8');
    // This is the line at which its checkpoint begins; `verify` finds changes in earlier lines.
    writeFileSync(path, text.replace(/"samples":\d+(?=[^\n]*\n$)/, '"samples":1'));
    const { code, output } = await run([...resume, runs]);
    expect(code, output).toBe(errorTable.DATA.exit);
    expect(output).toMatch(/line \d+ of .*metrics\.jsonl is damaged/);
  });

  it('is rejected if lines before its checkpoint are missing', async () => {
    const { runs, directory } = await interrupted();
    writeFileSync(join(directory, 'metrics.jsonl'), '');
    const { code, output } = await run([...resume, runs]);
    expect(code, output).toBe(errorTable.DATA.exit);
    expect(output).toMatch(
      /metrics\.jsonl ends at step 0, before the checkpoint of step \d+: lines are missing/,
    );
  });

  it('can be resumed by any path to it, even without events.jsonl', async () => {
    const { runs, directory } = await interrupted();
    rmSync(join(directory, 'events.jsonl'));
    const again = ['local', '--engine', 'reference', '--port', '0'];
    const { code, output } = await run([...again, '--resume', `${runs}/./r//`]);
    expect(code, output).toBe(0);
    expect(readRun(directory).record).toMatchObject({ state: 'finished', step: STEPS });
  });

  it('loses only a torn last line', async () => {
    const { runs, directory } = await interrupted();
    const path = join(directory, 'metrics.jsonl');
    const whole = readMetrics(readFileSync(path, 'utf8')).lines.length;
    writeFileSync(path, '{"kind":"step","step":', { flag: 'a' });
    const { code, output } = await run([...resume, runs]);
    expect(code, output).toBe(0);
    const { lines } = readRun(directory);
    expect(lines.length).toBeGreaterThan(whole);
    expect(lines.filter(({ kind }) => kind === 'step')).toHaveLength(STEPS);
  });

  it('has one coordinator at a time', async () => {
    const { process: first, runs } = await startCoordinator(QUICK_RECIPE);
    await first.says(/waiting for a worker/);
    const second = await run(
      ['coordinator', '--port', '0', '--runs-dir', runs, '--resume', join(runs, 'r')],
      { MNIST_DIST_TOKEN: TOKEN },
    );
    expect(second.code, second.output).toBe(errorTable.LOCKED.exit);
    expect(second.output).toMatch(
      new RegExp(`process ${first.process.pid} .* is running this run`),
    );
    expect(first.process.exitCode).toBeNull();
  });
});
