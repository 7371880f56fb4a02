import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, REFERENCE } from '../../fixtures/processes/options.ts';
import { until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { missing, Slurm, why, type Job } from './slurm.ts';

/** Time limit for a cluster that hangs. */
const START_MILLISECONDS = 120_000;
const STEPS = 2000;
const RECIPE = [...QUICK_RECIPE, '--checkpoint-every', '200'];
const completed = (restarts: number) => ({ state: 'COMPLETED', exit: 0, restarts });
/** All nodes are this machine, at loopback addresses. */
const HERE = {
  MNIST_DIST_HOST: '127.0.0.1',
  MNIST_DIST_ADVERTISE: '127.0.0.1',
  MNIST_DIST_ENGINE: 'reference',
  MNIST_DIST_PICTURES: 'no',
  MNIST_DIST_STEPS: String(STEPS),
};
const scripts = 'deploy/slurm';

interface Event {
  readonly event: string;
  readonly worker?: string;
  readonly term?: number;
  readonly step?: number;
  readonly state?: string;
}

/** The events so far in this term of the coordinator; none if the term has not begun. */
function eventsOf(directory: string, term: number): Event[] {
  const file = join(directory, 'events.jsonl');
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  const events = lines.map((line): Event => JSON.parse(line));
  const start = (each: Event, of: number) => each.event === 'start' && each.term === of;
  const [from, to] = [term, term + 1].map((of) => events.findIndex((each) => start(each, of)));
  return from === undefined || from < 0 ? [] : events.slice(from, to === -1 ? undefined : to);
}

/**
 * Waits until `count` workers have delivered their first shard in this term; resolves with their
 * names.
 */
async function atWork(directory: string, count: number, term: number, job: Job): Promise<string[]> {
  return await until(async () => {
    const first = eventsOf(directory, term).filter(({ event }) => event === 'first_shard');
    if (first.length >= count) return first.map(({ worker = '' }) => worker);
    const { state } = await job.state();
    if (/^(?:COMPLETED|FAILED|CANCELLED)$/.test(state)) throw new Error(`${state}:\n${job.log()}`);
    return undefined;
  });
}

/** Waits until this term has a checkpoint. */
async function checkpoint(directory: string, term: number): Promise<void> {
  await until(() => eventsOf(directory, term).find(({ event }) => event === 'checkpoint'));
}

/** The process of the worker with this name. */
function workerCalled(name: string): number {
  const isIt = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0--name\0${name}\0`);
    } catch {
      // The process has ended in the meantime.
      return false;
    }
  };
  const pid = readdirSync('/proc').find((entry) => /^\d+$/.test(entry) && isIt(entry));
  if (pid === undefined) throw new Error(`no worker has the name ${name}`);
  return Number(pid);
}

/** Expects that a signal ended the run cleanly and that the run resumed where it had stopped. */
function expectNothingComputedAgain(directory: string): void {
  const last = eventsOf(directory, 1).at(-1);
  expect(last).toMatchObject({ event: 'end', state: 'interrupted' });
  expect(last?.step).toBeGreaterThan(0);
  expect(eventsOf(directory, 2)[0]).toMatchObject({ event: 'start', step: last?.step });
}

describe.skipIf(missing !== undefined)(`on Slurm${why}`, () => {
  let slurm: Slurm;
  let undisturbed: FinishedRun;
  beforeAll(async () => {
    slurm = await Slurm.start();
  }, START_MILLISECONDS);
  afterAll(() => slurm.stop(), START_MILLISECONDS);

  const coordinator = (directory: string, args: readonly string[] = []) =>
    slurm.submit([...args, `${scripts}/coordinator.sbatch`, ...RECIPE], {
      ...HERE,
      RUN: directory,
    });
  const cluster = (
    directory: string,
    args: readonly string[] = [],
    environment: NodeJS.ProcessEnv = {},
  ) =>
    slurm.submit([...args, `${scripts}/cluster.sbatch`, ...RECIPE], {
      ...HERE,
      ...environment,
      RUN: directory,
    });
  const workers = (directory: string, array: string, after: Job) =>
    slurm.submit(
      [`--array=${array}`, `--dependency=after:${after.id}`, `${scripts}/worker.sbatch`, directory],
      HERE,
    );

  it('`local` trains a run for comparison', async () => {
    undisturbed = await train([...REFERENCE, ...RECIPE, '--steps', String(STEPS), '-n', '2']);
  });

  it('one allocation trains on three GPUs, even when it loses a worker and a node', async () => {
    const directory = join(temporaryFolder(), 'r');
    const say =
      "process.stderr.write(process.argv[2] + ' sees GPU ' + " +
      "process.env.CUDA_VISIBLE_DEVICES + '\\n')";
    const job = await cluster(directory, ['--nodes=3', '--ntasks=3', '--gpus-per-task=1'], {
      NODE_OPTIONS: `--import="data:text/javascript,${say}"`,
    });
    await atWork(directory, 3, 1, job);
    process.kill(workerCalled(`n2.${job.id}.1`), 'SIGKILL');
    await slurm.call('scontrol', ['update', 'NodeName=n3', 'State=DOWN', 'Reason=test']);
    expect(await job.ended(), job.log()).toMatchObject(completed(0));
    const run = readRun(directory);
    expectSame(run, undisturbed);
    const lost = run.events.filter(({ event }) => event === 'lost').map(({ worker }) => worker);
    expect(lost.toSorted()).toEqual([`n2.${job.id}.1`, `n3.${job.id}.2`]);
    expect(run.record.workers.map(({ name }) => name).toSorted()).toEqual(
      ['n1', 'n2', 'n3'].map((node, i) => `${node}.${job.id}.${i}`),
    );
    expect(job.log().match(/\d: worker sees GPU 0/g)).toHaveLength(3);
    expect(job.log()).toMatch(/coordinator sees GPU (?:undefined|NoDevFiles)/);

    const again = await cluster(directory);
    expect(await again.ended(), again.log()).toMatchObject({
      state: 'FAILED',
      exit: 2,
      restarts: 0,
    });
    expect(again.log()).toMatch(/is finished/);
    const longer = await cluster(directory, [], { MNIST_DIST_STEPS: String(STEPS + 100) });
    expect(await longer.ended(), longer.log()).toMatchObject({ state: 'COMPLETED', exit: 0 });
    expect(readRun(directory).record).toMatchObject({
      state: 'finished',
      step: STEPS + 100,
      term: 2,
    });
  });

  it('workers join and leave as jobs of an array: one is cancelled, one is added', async () => {
    const directory = join(temporaryFolder(), 'r');
    const main = await coordinator(directory);
    const array = await workers(directory, '1-3', main);
    const three = await atWork(directory, 3, 1, main);
    expect(three.map((name) => name.slice(3)).toSorted()).toEqual(
      [1, 2, 3].map((i) => `${array.id}_${i}`),
    );
    await slurm.call('scancel', [`${array.id}_2`]);
    const added = await workers(directory, '4', main);
    await atWork(directory, 4, 1, main);
    expect(await main.ended(), main.log()).toMatchObject(completed(0));
    const run = readRun(directory);
    expectSame(run, undisturbed);
    const left = run.events.filter(({ event }) => event === 'lost' || event === 'left');
    expect(left.map(({ worker }) => String(worker).slice(3))).toEqual([`${array.id}_2`]);
    for (const job of [array, added]) await job.ended();
  });

  it('a killed coordinator resumes on another node, despite its lock and join file', async () => {
    const directory = join(temporaryFolder(), 'r');
    const main = await coordinator(directory);
    const array = await workers(directory, '1-2', main);
    await atWork(directory, 2, 1, main);
    await checkpoint(directory, 1);
    const stale = readFileSync(join(directory, 'join'), 'utf8');
    const { node } = await main.state();
    // No job starts in the meantime.
    await slurm.call('scontrol', ['update', 'PartitionName=low', 'State=DOWN']);
    await slurm.call('scancel', ['--signal=KILL', `${main.id}.0`]);
    await until(async () => ((await main.state()).state === 'PENDING' ? true : undefined));
    expect(main.log()).toMatch(/exit code 137: requeueing this job/);
    expect(readFileSync(join(directory, 'join'), 'utf8')).toBe(stale);
    // Pretends that that node was a different machine.
    const lock = join(directory, '.drafts-1', 'owner.json');
    const owner = JSON.parse(readFileSync(lock, 'utf8'));
    writeFileSync(lock, `${JSON.stringify({ ...owner, host: 'another' })}\n`);
    await slurm.call('scontrol', ['update', `JobId=${main.id}`, `ExcNodeList=${node}`]);
    await slurm.call('scontrol', ['update', 'PartitionName=low', 'State=UP']);

    expect(await main.ended(), main.log()).toMatchObject(completed(1));
    expect((await main.state()).node).not.toBe(node);
    expect(await array.ended(), array.log()).toMatchObject(completed(0));
    const run = readRun(directory);
    expectSame(run, undisturbed);
    expect(run.record.term).toBe(2);
    expect(eventsOf(directory, 2)[0]?.step).toBeGreaterThan(0);
    // The run may end before the other one has dialled again.
    await atWork(directory, 1, 2, main);
    expect(existsSync(join(directory, 'join'))).toBe(false);
  });

  it('a coordinator that is preempted with notice requeues itself', async () => {
    const directory = join(temporaryFolder(), 'r');
    const main = await coordinator(directory, ['--partition=graceful', '--exclusive']);
    const array = await workers(directory, '1-2', main);
    await atWork(directory, 2, 1, main);
    const { node } = await main.state();
    await slurm.submit(['--partition=high', '--exclusive', `--nodelist=${node}`, '--wrap=true']);
    expect(await main.ended(), main.log()).toMatchObject(completed(1));
    expect(main.log()).toMatch(/exit code 143: requeueing this job/);
    expect(await array.ended(), array.log()).toMatchObject({ state: 'COMPLETED', exit: 0 });
    expectSame(readRun(directory), undisturbed);
    expectNothingComputedAgain(directory);
  });

  it('Slurm requeues an allocation that is preempted without notice', async () => {
    const directory = join(temporaryFolder(), 'r');
    const job = await cluster(directory, ['--nodes=2', '--exclusive']);
    await atWork(directory, 2, 1, job);
    const { node } = await job.state();
    await slurm.submit(['--partition=high', '--exclusive', `--nodelist=${node}`, '--wrap=true']);
    expect(await job.ended(), job.log()).toMatchObject(completed(1));
    expect(job.log()).not.toMatch(/requeueing this job/);
    expectSame(readRun(directory), undisturbed);
    expectNothingComputedAgain(directory);
  });

  it('a cancelled allocation stays cancelled, and another allocation resumes its run', async () => {
    const directory = join(temporaryFolder(), 'r');
    const job = await cluster(directory);
    await atWork(directory, 2, 1, job);
    await slurm.call('scancel', [job.id]);
    expect(await job.ended(), job.log()).toMatchObject({ state: 'CANCELLED', restarts: 0 });
    const another = await cluster(directory, ['--ntasks=3']);
    expect(await another.ended(), another.log()).toMatchObject({ state: 'COMPLETED', exit: 0 });
    expectSame(readRun(directory), undisturbed);
    expectNothingComputedAgain(directory);
  });
});
