import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { lives, type Child } from '../../fixtures/processes/children.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, REFERENCE, TOKEN } from '../../fixtures/processes/options.ts';
import { until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { missing, RayCluster, type OnHead } from './ray.ts';

const deploy = fileURLToPath(new URL('../../../deploy/ray', import.meta.url));
const RECIPE = [...QUICK_RECIPE, '--steps', '2000', '--checkpoint-every', '100'];
const WORKERS = ['w1', 'w2', 'w3'];
const why = missing === undefined ? '' : `: ${missing}`;

describe.skipIf(missing !== undefined)(`on Ray${why}`, () => {
  let cluster: RayCluster;
  let undisturbed: FinishedRun;
  beforeAll(async () => {
    cluster = await RayCluster.start(2);
  });
  afterAll(() => cluster.stop());

  /** Starts the driver on the head, as a user would. */
  const drive = (workers: string, run: string, options: readonly string[] = RECIPE): OnHead =>
    cluster.run('python3', [
      join(deploy, 'driver.py'),
      '--workers',
      workers,
      '--run',
      run,
      '--',
      ...options,
    ]);
  const jobs = { RAY_API_SERVER_ADDRESS: 'http://127.0.0.1:8265' };
  /** Submits a job with three workers, from the folder of the driver. */
  const submit = (
    id: string,
    run: string,
    options: readonly string[],
    more: readonly string[] = [],
  ): OnHead => {
    const job = ['job', 'submit', '--working-dir', deploy, '--submission-id', id, '--'];
    const command = ['python3', 'driver.py', '--workers', '3', '--run', run];
    return cluster.run('ray', [...job, ...command, ...options, '--', ...RECIPE, ...more], jobs);
  };
  /** The processes of mnist-dist on a machine, without those of Ray. */
  const programs = (machine?: string): Child[] =>
    cluster.processes(machine).filter((each) => /\0\S*mnist-dist\0(?!certs)/.test(each.arguments));
  const program = (words: string): Child => {
    const found = programs().find((each) => each.arguments.includes(words));
    if (found === undefined) throw new Error(`the head has no process ${JSON.stringify(words)}`);
    return found;
  };
  const allAtWork = async (driver: OnHead, from = 0): Promise<void> => {
    for (const name of WORKERS)
      await driver.says(new RegExp(`${name} delivered its first shard`), from);
  };

  it('a run needs a run of `local` for comparison', async () => {
    undisturbed = await train([...REFERENCE, ...RECIPE, '-n', '2']);
  });

  it('a misspelled option is an error, before or after --', async () => {
    const run = join(temporaryFolder(), 'r');
    const own = cluster.run('python3', [join(deploy, 'driver.py'), '--wokers', '2', '--run', run]);
    expect(await own.exited).toBe(errorTable.USAGE.exit);
    expect(own.output()).toMatch(/unknown argument "--wokers": did you mean --workers\?/);
    const passedOn = drive('2', run, ['--epocs', '2']);
    expect(await passedOn.exited, passedOn.output()).toBe(errorTable.USAGE.exit);
    expect(passedOn.output()).toMatch(/coordinator: .*--epocs[^]*--epochs/);
    expect(existsSync(run)).toBe(false);
  });

  it('a cluster that is too small ends the run with what it lacks', async () => {
    const run = join(temporaryFolder(), 'r');
    const driver = drive('3', run, [...RECIPE, '--rdzv-timeout', '2']);
    expect(await driver.exited, driver.output()).toBe(errorTable.RENDEZVOUS.exit);
    expect(driver.output()).toMatch(
      /Ray has placed \d of at least 3 workers with 1 CPU each; its nodes have 2 CPU and 0 GPU/,
    );
    expect(programs()).toEqual([]);
  });

  it('a worker is added when a node joins, and the token stays secret', async () => {
    const run = join(temporaryFolder(), 'r');
    const driver = drive('1..3', run, [...RECIPE, '--start-workers', '3']);
    await driver.says(/2 of 3 workers are ready/);
    const [, token = ''] = /token=([^&]+)/.exec(readFileSync(join(run, 'join'), 'utf8')) ?? [];
    expect(token.length).toBeGreaterThan(30);
    expect(cluster.processes().filter((each) => each.arguments.includes(token))).toEqual([]);
    expect(cluster.filesWith('raylet')).not.toBe('');
    expect(cluster.filesWith(token)).toBe('');
    await cluster.add('second', 1);
    await allAtWork(driver);
    expect(programs('second')).toHaveLength(1);
    expect(await driver.exited, driver.output()).toBe(0);
    expectSame(readRun(run), undisturbed);
    expect(driver.output()).not.toContain(token);
    expect([...programs(), ...programs('second')]).toEqual([]);
  });

  it('a worker whose actor is killed and a killed coordinator start again', async () => {
    const run = join(temporaryFolder(), 'r');
    const driver = drive('3', run);
    await allAtWork(driver);
    // The two workers that are left wait for the third one.
    const worker = program('\0--name\0w1\0');
    const actor = Number(
      /^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${worker.pid}/status`, 'utf8'))?.[1],
    );
    const before = driver.output().length;
    process.kill(actor, 'SIGKILL');
    await until(() => (lives(worker) ? undefined : true));
    await driver.says(/w1 ended with exit code 137: starting it again/);
    await driver.says(/w1 delivered its first shard/, before);
    await until(() =>
      readFileSync(join(run, 'events.jsonl'), 'utf8').includes('"checkpoint"') ? true : undefined,
    );
    process.kill(program('\0coordinator\0').pid, 'SIGKILL');
    await driver.says(/the coordinator ended with exit code 137: resuming the run/);
    expect(await driver.exited, driver.output()).toBe(0);
    const finished = readRun(run);
    expectSame(finished, undisturbed);
    expect(finished.record.term).toBe(2);
    expect(finished.events.filter(({ event }) => event === 'start')[1]).toMatchObject({ term: 2 });
    expect(programs()).toEqual([]);
  });

  it('a job survives a node that crashes', async () => {
    const run = join(temporaryFolder(), 'r');
    const secret = join(temporaryFolder(), 'token');
    writeFileSync(secret, TOKEN, { mode: 0o600 });
    const job = submit('crash', run, ['--token-file', secret]);
    await allAtWork(job);
    await cluster.crash('second');
    await cluster.add('third', 1);
    expect(await job.exited, job.output()).toBe(0);
    expect(job.output()).toMatch(/w\d ended with exit code 137: starting it again/);
    const finished = readRun(run);
    expectSame(finished, undisturbed);
    expect(finished.events.filter(({ event }) => event === 'lost')).toHaveLength(1);
  });

  it('Ctrl-C, `ray job stop` and the end of the driver stop a run, which resumes', async () => {
    const run = join(temporaryFolder(), 'r');
    const running = () => [...programs(), ...programs('third')];
    const driver = drive('3', run);
    await allAtWork(driver);
    process.kill((await driver.inside()).pid, 'SIGINT');
    expect(await driver.exited, driver.output()).toBe(errorTable.TERMINATED.exit);
    expect(running()).toEqual([]);

    // With fewer workers than it waits for, a run neither makes progress nor ends.
    const waiting = ['--start-workers', '4'];
    const job = submit('stop', run, [], waiting);
    await job.says(/3 of 4 workers are ready/);
    const stop = cluster.run('ray', ['job', 'stop', 'stop'], jobs);
    expect(await stop.exited, stop.output()).toBe(0);
    expect(stop.output()).toMatch(/was stopped/);
    expect(running()).toEqual([]);
    await job.says(/SIGTERM: stopping after the current step/);

    const killed = drive('3', run, [...RECIPE, ...waiting]);
    await killed.says(/3 of 4 workers are ready/);
    process.kill((await killed.inside()).pid, 'SIGKILL');
    await until(() => (running().length === 0 ? true : undefined));

    const last = drive('3', run);
    expect(await last.exited, last.output()).toBe(0);
    expectSame(readRun(run), undisturbed);
    const { events } = readRun(run);
    expect(events.filter(({ event }) => event === 'start')).toHaveLength(4);
    const [first, second] = events.filter(({ event }) => event === 'end');
    expect([first?.['state'], second?.['state']]).toEqual(['interrupted', 'interrupted']);
    expect(second?.['step']).toBe(first?.['step']);
  });
});
