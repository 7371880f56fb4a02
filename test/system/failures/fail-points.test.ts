import { once, type EventEmitter } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startWorker, train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { newRun, QUICK_RECIPE, REFERENCE, TOKEN } from '../../fixtures/processes/options.ts';
import { run, start, until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const module = fileURLToPath(new URL('fail-points.mjs', import.meta.url));

/**
 * The points of a file that is written as a whole, one for each state on the disk. Between a write
 * and its sync, the state does not change.
 */
const whole = (file: string): string[] => [
  `before write ${file}`,
  `within write ${file}`,
  `before sync ${file}`,
  `before rename ${file}`,
  `after rename ${file}`,
  `pass after rename ${file}\nafter sync folder`,
];

const TRAINING = [
  'before write metrics.jsonl',
  'within write metrics.jsonl',
  'after write metrics.jsonl',
  'before sync metrics.jsonl',
  'after sync metrics.jsonl',
  ...whole('step.safetensors'),
  'before remove step.safetensors',
  'after remove step.safetensors',
  'before write events.jsonl',
  'within write events.jsonl',
  'after write events.jsonl',
];
const OPENING = [
  'before write owner.json',
  'within write owner.json',
  'before rename drafts',
  'after rename drafts',
  'after rename lock.json',
  ...whole('run.json'),
];
/** Points after the last step. The same code writes these two files and all other artifacts. */
const END = [
  'before write model.safetensors',
  'before rename model.safetensors',
  'after rename model.safetensors',
  'before write misclassified.jsonl',
  'before rename misclassified.jsonl',
  ...['after rename misclassified.jsonl', ...whole('run.json').slice(0, 4)].map(afterArtifacts),
];
/** Points at which run.json already records that the run has finished. */
const FINISHED = [
  'after rename run.json',
  'pass after rename run.json\nbefore sync events.jsonl',
  'after rename lock.json',
  'after rename ended.json',
].map(afterArtifacts);
/** Points in a run that has no run.json yet. */
const BEGINNING = [
  'before write owner.json',
  'after write owner.json',
  'before rename drafts',
  'after rename drafts',
  'before write run.json',
  'within write run.json',
  'before rename run.json',
];

function afterArtifacts(point: string): string {
  return point.endsWith('misclassified.jsonl')
    ? point
    : `pass after rename misclassified.jsonl\n${point}`;
}

interface Points {
  readonly environment: NodeJS.ProcessEnv;
  /** The remaining points, at which no coordinator has died yet. */
  left(): string[];
}

/** The environment in which coordinators die at these points, one after the other. */
function dyingAt(points: readonly string[]): Points {
  const list = join(temporaryFolder(), 'points');
  writeFileSync(list, points.join('\n'));
  return {
    environment: {
      MNIST_DIST_TOKEN: TOKEN,
      FAIL_POINTS: list,
      NODE_OPTIONS: `--import=${module}`,
    },
    left: () => readFileSync(list, 'utf8').split('\n').filter(Boolean),
  };
}

/** Resolves with the emitter if this event comes before an error, and with undefined otherwise. */
async function happened<T extends EventEmitter>(emitter: T, event: string) {
  return await once(emitter, event).then(
    () => emitter,
    () => undefined,
  );
}

/**
 * Starts the coordinator of the run r once: a new run if there is no run.json, or else a resumed
 * one.
 */
function startOnce(args: readonly string[], runs: string, environment: NodeJS.ProcessEnv) {
  const directory = join(runs, 'r');
  const which = existsSync(join(directory, 'run.json'))
    ? ['--resume', directory]
    : ['--run-id', 'r'];
  return run(['coordinator', '--runs-dir', runs, ...args, ...which], environment);
}

/**
 * Restarts the coordinator immediately each time it is killed; resolves with its last exit code and
 * the number of kills.
 */
async function startAgain(args: readonly string[], runs: string, environment: NodeJS.ProcessEnv) {
  for (let deaths = 0; ; deaths++) {
    const { code, output } = await startOnce(args, runs, environment);
    if (code !== undefined) return { code, output, deaths };
  }
}

/** Starts these workers again whenever their run has ended, until `over` settles. */
async function keepWorking(
  names: readonly string[],
  port: number,
  over: Promise<unknown>,
): Promise<void> {
  let isOver = false;
  const end = over.finally(() => (isOver = true));
  const keep = async (name: string): Promise<void> => {
    while (!isOver) {
      const worker = startWorker(`ws://127.0.0.1:${port}`, ['--name', name]);
      const code = await Promise.race([worker.exited, end.then(() => 0)]);
      expect(code, worker.output()).toBe(0);
    }
  };
  await Promise.all(names.map(keep));
}

interface Deaths {
  readonly steps: number;
  readonly workers: number;
  readonly points: readonly string[];
}

/**
 * Expects a run whose coordinators die at each of the points to end with the undisturbed run's
 * bytes.
 */
async function expectSameAfter({ steps, workers, points }: Deaths): Promise<void> {
  const recipe = [...QUICK_RECIPE, '--steps', String(steps)];
  const undisturbed = await train([...REFERENCE, ...recipe, '-n', '2']);
  const runs = temporaryFolder();
  const { environment, left } = dyingAt(points);
  const port = await freePort();
  const args = [...recipe, '--checkpoint-every', '20', '--keep', '1', '--port', String(port)];
  const coordinator = startAgain(args, runs, environment);
  const names = Array.from({ length: workers }, (_, i) => `w${i}`);
  await keepWorking(names, port, coordinator);
  const { code, output, deaths } = await coordinator;
  expect(code, output).toBe(0);
  expect(left()).toEqual([]);
  expect(deaths).toBe(points.length);
  expectSame(readRun(join(runs, 'r')), undisturbed);
}

describe('a coordinator that is killed at each operation on its files', () => {
  it('trains to the same bytes', async () => {
    await expectSameAfter({ steps: 1000, workers: 2, points: [...TRAINING, ...OPENING] });
  });

  it('ends with the same bytes', async () => {
    await expectSameAfter({ steps: 50, workers: 1, points: END });
  });

  it('starts a new run if it left no run.json', async () => {
    await expectSameAfter({ steps: 50, workers: 1, points: BEGINNING });
  });

  it('can extend its run after recording that the run has finished', async () => {
    const lengths = [...FINISHED.keys(), FINISHED.length].map((i) => String(20 * (i + 1)));
    const undisturbed = await train([
      ...REFERENCE,
      ...QUICK_RECIPE,
      '--steps',
      lengths.at(-1) ?? '',
      '-n',
      '1',
    ]);
    const runs = temporaryFolder();
    const { environment, left } = dyingAt(FINISHED);
    const port = await freePort();
    const prolong = async () => {
      const codes: (number | undefined)[] = [];
      for (const steps of lengths) {
        const args = [...QUICK_RECIPE, '--steps', steps, '--port', String(port)];
        codes.push((await startOnce(args, runs, environment)).code);
        expect(readRun(join(runs, 'r')).record).toMatchObject({
          state: 'finished',
          step: Number(steps),
        });
      }
      return codes;
    };
    const prolonged = prolong();
    await keepWorking(['w0'], port, prolonged);
    expect(await prolonged).toEqual([...FINISHED.map(() => undefined), 0]);
    expect(left()).toEqual([]);
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });
});

describe('local', () => {
  const recipe = [...REFERENCE, ...QUICK_RECIPE, '-n', '2', '--steps', '200'];

  let undisturbed: FinishedRun;

  it('trains an undisturbed run for comparison', async () => {
    undisturbed = await train(recipe);
    expect(undisturbed.record.step).toBe(200);
  });

  async function expectFinished(points: readonly string[]): Promise<void> {
    const { environment, left } = dyingAt(points);
    // Longer than workers wait between two dials. A coordinator that waits in vain still fails
    // after this time.
    const disturbed = await train(
      [...recipe, '--checkpoint-every', '20', '--rdzv-timeout', '30s'],
      environment,
    );
    expect(left()).toEqual([]);
    expectSame(disturbed, undisturbed);
  }

  it('restarts a coordinator that is killed at these points', async () => {
    await expectFinished([
      'within write events.jsonl',
      'within write metrics.jsonl',
      'before rename step.safetensors',
      'after rename lock.json',
      'before rename run.json',
    ]);
  });

  it('restarts a coordinator that is killed before its first run.json', async () => {
    await expectFinished(['before rename drafts', 'before rename run.json']);
  });

  it('continues although another process takes the port of the page after a crash', async () => {
    const { environment, left } = dyingAt(['before rename run.json']);
    const [runs, port] = [temporaryFolder(), await freePort()];
    const page = ['--http-port', String(port)];
    const local = start(['local', ...newRun(runs), ...recipe, ...page], environment);
    await until(async () => await happened(connect(port, '127.0.0.1'), 'connect'), local);
    const other = () => createServer().listen(port, '127.0.0.1');
    const server = await until(async () => await happened(other(), 'listening'), local);
    onTestFinished(() => void server.close());
    expect(await local.exited, local.output()).toBe(0);
    expect(local.output()).toContain(`port ${port} is in use; the page is now at`);
    expect(left()).toEqual([]);
    expectSame(readRun(join(runs, 'r')), undisturbed);
  });

  it('finishes a run whose coordinator is killed after the last step', async () => {
    await expectFinished(['before rename model.safetensors']);
  });

  it('exits with 0 when its coordinator is killed after its last run.json', async () => {
    await expectFinished(['pass after rename misclassified.jsonl\nafter rename run.json']);
  });
});
