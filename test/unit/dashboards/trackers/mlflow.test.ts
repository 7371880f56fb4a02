import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MlflowTracker } from '../../../../dashboards/trackers/mlflow.ts';
import { MAX_MLFLOW_QUEUE } from '../../../../shared/limits/tracker.ts';
import { freePort } from '../../../fixtures/processes/free-ports.ts';
import {
  configuration,
  makeUp,
  splitConfiguration,
  type MadeUp,
} from '../../../fixtures/recorded-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { FakeMlflow, type Misbehaviour } from '../../../fixtures/trackers/fake-mlflow.ts';

const STEPS = Array.from({ length: 12 }, (_, i) => i + 1);
const at = (path: string, bad: Misbehaviour) => (asked: string) =>
  asked.endsWith(path) ? bad : undefined;

interface Tracked {
  readonly directory: string;
  readonly told: readonly string[];
  /** Whether the user was told that the end of the run waits for the server. */
  readonly isWaiting: boolean;
}

interface Tracking extends MadeUp {
  readonly authorization?: string;
  readonly hurry?: AbortSignal;
  readonly closeMilliseconds?: number;
  /** Called between the end of the run and the end of the tracker. */
  readonly beforeClose?: (tracker: MlflowTracker, told: readonly string[]) => void | Promise<void>;
}

/** Writes a run that is tracked by the server at this address. */
async function track(
  url: string,
  { authorization, hurry, beforeClose, ...run }: Tracking,
): Promise<Tracked> {
  const told: string[] = [];
  let isWaiting = false;
  const tracker = new MlflowTracker({
    server: { url, authorization },
    experiment: 'digits',
    configuration: run.configuration ?? configuration,
    version: '1.2.3',
    closeMilliseconds: run.closeMilliseconds ?? 1000,
    tell: (level, message) => {
      // Whether it is told depends on which comes first, an answer or the end.
      if (message.startsWith('waiting at most 1 s for MLflow')) isWaiting = true;
      else if (!message.startsWith('waiting')) told.push(`${level}: ${message}`);
    },
    clock: () => performance.now(),
    date: () => Date.now() + 0.5,
  });
  const directory = await makeUp({ ...run, viewer: tracker.viewer });
  await beforeClose?.(tracker, told);
  await tracker.close(hurry ?? new AbortController().signal);
  return { directory, told, isWaiting };
}

const stateOf = (directory: string): string =>
  JSON.parse(readFileSync(join(directory, 'run.json'), 'utf8')).state;

describe('a run in MLflow', () => {
  it('has parameters, metrics, tags and files', async () => {
    const server = new FakeMlflow();
    const url = await server.listen();
    const { directory, told } = await track(url, {
      runs: temporaryFolder(),
      runId: 'r',
      configuration: splitConfiguration,
    });
    const { run, files } = server;
    expect(run.status).toBe('FINISHED');
    expect(Object.fromEntries(run.params)).toMatchObject({
      batch_size: '8',
      learning_rate: '0.01',
      optimizer: 'adam',
      steps: '12',
    });
    const tags = { 'mnist_dist.run': 'r', 'mnist_dist.state': 'finished', 'mnist_dist.term': '1' };
    expect(Object.fromEntries(run.tags)).toMatchObject(tags);
    expect(run.steps('loss/train')).toEqual(STEPS);
    expect(run.steps('training/learning_rate')).toEqual(STEPS);
    expect(run.steps('loss/validation')).toEqual([4, 8, 12]);
    expect(run.steps('accuracy/test')).toEqual([12]);
    const model = readFileSync(join(directory, 'model.safetensors'));
    expect(files.get('7/id0/artifacts/model.safetensors')).toEqual(model);
    expect([...files.keys()]).toContain('7/id0/artifacts/artifacts/misclassified.jsonl');
    expect(told).toEqual([`info: see it in MLflow at ${url}/#/experiments/7/runs/id0`]);
  });

  it('continues after a crash, and each step is there once', async () => {
    const server = new FakeMlflow();
    const url = await server.listen();
    const killed = { runs: temporaryFolder(), until: 7, isKilled: true };
    const { directory } = await track(url, killed);
    expect(server.run.status).toBe('FAILED');
    // Without a checkpoint, all steps are computed again.
    for (const name of readdirSync(join(directory, 'checkpoints')))
      rmSync(join(directory, 'checkpoints', name));
    await track(url, { runs: killed.runs, resume: directory });
    expect(server.run.status).toBe('FINISHED');
    expect(server.run.steps('loss/train')).toEqual(STEPS);
    expect(server.run.steps('loss/test')).toEqual([5, 10, 12]);
    expect(server.run.tags.get('mnist_dist.term')).toBe('2');
  });

  it('gets the steps that the server missed when the run is resumed', async () => {
    const server = new FakeMlflow();
    const port = await freePort();
    const killed = { runs: temporaryFolder(), until: 7, isKilled: true };
    const { directory } = await track(`http://127.0.0.1:${port}`, killed);
    const url = await server.listen(port);
    await track(url, { runs: killed.runs, resume: directory });
    expect(server.run.steps('loss/train').toSorted((a, b) => a - b)).toEqual(STEPS);
    expect(server.run.steps('loss/test').toSorted((a, b) => a - b)).toEqual([5, 10, 12]);
  });

  it('keeps its parameters when it is made longer', async () => {
    const server = new FakeMlflow();
    const url = await server.listen();
    const runs = temporaryFolder();
    const { directory } = await track(url, { runs });
    await track(url, { runs, resume: directory, configuration: { ...configuration, steps: 14 } });
    expect(server.run.params.get('steps')).toBe('12');
    expect(server.run.tags.get('mnist_dist.steps')).toBe('14');
    expect(server.run.steps('loss/train')).toEqual([...STEPS, 13, 14]);
  });

  it('is interrupted or has failed in MLflow as well', async () => {
    const server = new FakeMlflow();
    await track(await server.listen(), { runs: temporaryFolder(), until: 5 });
    expect(server.run.status).toBe('KILLED');
    expect([...server.files.keys()]).toContain('7/id0/artifacts/model.safetensors');
  });
});

describe('a server that does not do its work cannot stop a run', () => {
  it('if it is down', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const { directory, told, isWaiting } = await track(url, {
      runs: temporaryFolder(),
      beforeClose: async (_, soFar) => {
        await expect.poll(() => soFar).toHaveLength(1);
      },
    });
    expect(stateOf(directory)).toBe('finished');
    expect(isWaiting).toBe(true);
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(
      /^warn: MLflow at \S+ cannot be reached: .*ECONNREFUSED.*metrics wait$/,
    );
    expect(told[1]).toMatch(/^warn: MLflow at \S+ cannot be reached: .*incomplete there$/);
  });

  it('if it answers with 500 for a while, and nothing is lost', async () => {
    const server = new FakeMlflow();
    let failures = 2;
    server.misbehaviour = (path) =>
      path.endsWith('log-batch') && failures-- > 0
        ? { status: 500, body: 'out of memory' }
        : undefined;
    const { told } = await track(await server.listen(), {
      runs: temporaryFolder(),
      closeMilliseconds: 10_000,
    });
    expect(server.run.steps('loss/train')).toEqual(STEPS);
    expect(server.run.status).toBe('FINISHED');
    expect(told.map((line) => line.replace(/http:\S+/, 'URL'))).toEqual([
      'warn: MLflow at URL answers with 500: out of memory; training continues, and metrics wait',
      'info: MLflow at URL answers again',
      'info: see it in MLflow at URL',
    ]);
  });

  it('if it always answers with 500', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = () => ({ status: 500 });
    const { directory, told } = await track(await server.listen(), { runs: temporaryFolder() });
    expect(stateOf(directory)).toBe('finished');
    expect(told).toHaveLength(2);
  });

  it('if it is slow, and nothing is lost', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = () => ({ milliseconds: 150 });
    const { told } = await track(await server.listen(), { runs: temporaryFolder() });
    expect(server.run.steps('loss/train')).toEqual(STEPS);
    expect(server.run.status).toBe('FINISHED');
    expect(told).toHaveLength(1);
  });

  it('if it never answers', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = () => ({ milliseconds: 3_600_000 });
    const { directory, told } = await track(await server.listen(), { runs: temporaryFolder() });
    expect(stateOf(directory)).toBe('finished');
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/did not answer before .*; the run is incomplete there$/);
  });

  it('if it refuses the credentials, which are not in the message', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = () => ({ status: 401, body: 'You are not authenticated.' });
    const { told } = await track(await server.listen(), {
      runs: temporaryFolder(),
      authorization: 'Bearer secret',
    });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]?.authorization).toBe('Bearer secret');
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/does not accept the credentials: set MLFLOW_TRACKING_USERNAME/);
    expect(told[0]).not.toContain('secret');
  });

  it.each([
    [
      { status: 200, body: '<html>Welcome</html>' },
      'does not answer like an MLflow server: <html>',
    ],
    [{ status: 404, body: '<h1>Not Found</h1>' }, 'answers with 404: <h1>Not Found</h1>'],
    [{ status: 200, body: 'x'.repeat(5_000_000) }, 'answers with more than 4194304 bytes'],
    [{ status: 200, body: '{"experiment":{}}' }, 'does not answer like an MLflow server'],
  ])('if it is another program: %#', async (answer, message) => {
    const server = new FakeMlflow();
    server.misbehaviour = () => answer;
    const { told } = await track(await server.listen(), { runs: temporaryFolder() });
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(message);
  });

  it('nor have its credentials sent to another address', async () => {
    const [server, other] = [new FakeMlflow(), new FakeMlflow()];
    const location = await other.listen();
    server.misbehaviour = () => ({ status: 307, headers: { location } });
    const { told } = await track(await server.listen(), {
      runs: temporaryFolder(),
      authorization: 'Bearer secret',
    });
    expect(other.requests).toEqual([]);
    expect(told[0]).toContain(`sends requests on to ${location}: use that one`);
  });

  it('even if it stores files elsewhere', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = at('runs/create', {
      status: 200,
      body: '{"run":{"info":{"run_id":"id9","artifact_uri":"s3://bucket/7"}}}',
    });
    const { directory } = await track(await server.listen(), { runs: temporaryFolder() });
    expect(stateOf(directory)).toBe('finished');
    expect(server.files.size).toBe(0);
  });

  it('when Ctrl-C ends the wait for it', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = () => ({ milliseconds: 3_600_000 });
    const { told } = await track(await server.listen(), {
      runs: temporaryFolder(),
      hurry: AbortSignal.abort(),
    });
    expect(told).toHaveLength(1);
  });

  it('nor make the queue grow without limit', async () => {
    const server = new FakeMlflow();
    server.misbehaviour = at('experiments/get-by-name', { milliseconds: 300 });
    const { told } = await track(await server.listen(), {
      runs: temporaryFolder(),
      beforeClose: ({ viewer }) => {
        const report = { set: 'test', epoch: 1, samples: 1, loss: 1, correct: 1 } as const;
        const predictions = { values: new Float32Array(), labels: new Uint8Array(), classes: 0 };
        for (let step = 13; step <= 13 + MAX_MLFLOW_QUEUE; step++)
          viewer.evaluation({ ...report, step, confusion: [], predictions });
      },
    });
    expect(server.run.metrics).toHaveLength(MAX_MLFLOW_QUEUE);
    expect(told.at(-1)).toMatch(
      /^warn: MLflow lacks \d+ metrics: the server was too slow for them$/,
    );
  });
});
