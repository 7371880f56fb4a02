import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { childOf } from '../../fixtures/processes/children.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import {
  credentials,
  hasMlflow,
  startMlflow,
  type MlflowProcess,
} from '../../fixtures/trackers/mlflow-server.ts';

const why = hasMlflow ? '' : ' (skipped: test/install-python.sh was not run)';
const START_LIMIT_MILLISECONDS = 300_000;
const OPTIONS = ['--steps', '400', '-n', '2', '--no-http'];

const history = z.object({
  metrics: z.array(z.object({ step: z.number(), value: z.number(), timestamp: z.number() })),
});
const listed = z.object({
  run: z.object({
    info: z.object({ status: z.string(), run_name: z.string() }),
    data: z.object({ params: z.array(z.object({ key: z.string(), value: z.string() })) }),
  }),
});

/** The id of the run in the line that says where to see it. */
const idIn = (output: string): string => /runs\/([0-9a-f]{32})/.exec(output)?.[1] ?? '';

async function metricsOf(server: MlflowProcess, id: string, key: string) {
  const query = new URLSearchParams({ run_id: id, metric_key: key, max_results: '5000' });
  const answer = await server.get(`/api/2.0/mlflow/metrics/get-history?${query.toString()}`);
  return history.parse(JSON.parse(answer.toString())).metrics.toSorted((a, b) => a.step - b.step);
}

describe.skipIf(!hasMlflow)(`a real MLflow server${why}`, () => {
  let open: MlflowProcess;
  let closed: MlflowProcess;
  beforeAll(async () => {
    const folder = () => temporaryFolder(afterAll);
    [open, closed] = await Promise.all([startMlflow(folder(), true), startMlflow(folder(), false)]);
  }, START_LIMIT_MILLISECONDS);
  afterAll(() => Promise.all([open.close(), closed.close()]));

  it('has each step, the files and the state of a run whose coordinator was killed', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...OPTIONS, '--checkpoint-every', '50', '--mlflow'], {
      MLFLOW_TRACKING_URI: open.url,
      MLFLOW_EXPERIMENT_NAME: 'digits: killed',
      MNIST_DIST_PICTURES: 'yes',
    });
    await local.says(/see it in MLflow at /);
    await local.says(/w1 delivered its first shard/);
    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    await local.says(/resuming after step \d+ \(term 2\)/);
    expect(await local.exited, local.output()).toBe(0);
    const id = idIn(local.output());
    // The second coordinator names the same run.
    expect(new Set(local.output().match(/runs\/[0-9a-f]{32}/g)).size).toBe(1);
    const answer = await open.get(`/api/2.0/mlflow/runs/get?run_id=${id}`);
    const { info, data } = listed.parse(JSON.parse(answer.toString())).run;
    expect(info).toEqual({ status: 'FINISHED', run_name: 'r' });
    expect(data.params).toContainEqual({ key: 'batch_size', value: '64' });
    const { lines } = readRun(join(runs, 'r'));
    const losses = await metricsOf(open, id, 'loss/train');
    expect(losses.map(({ step, value }) => [step, value])).toEqual(
      lines.flatMap(({ kind, step, loss }) => (kind === 'step' ? [[step, loss]] : [])),
    );
    expect(losses.every(({ timestamp }) => timestamp > 1.7e12)).toBe(true);
    for (const name of ['model.safetensors', 'run.json', 'artifacts/report.html']) {
      const file = await open.get(`/get-artifact?path=${encodeURIComponent(name)}&run_uuid=${id}`);
      expect(file.equals(readFileSync(join(runs, 'r', name))), name).toBe(true);
    }
  });

  it('takes a run from a user with a password', async () => {
    const { code, output } = await run(
      [...quickLocal(temporaryFolder()), ...OPTIONS, '--mlflow', closed.url],
      credentials,
    );
    expect(code, output).toBe(0);
    const losses = await metricsOf(closed, idIn(output), 'loss/train');
    expect(losses).toHaveLength(400);
    expect(output).not.toContain(credentials.MLFLOW_TRACKING_PASSWORD);
  });

  it('that refuses a password does not stop a run, which says so once', async () => {
    const { code, output } = await run(
      [...quickLocal(temporaryFolder()), ...OPTIONS, '--mlflow', closed.url],
      { ...credentials, MLFLOW_TRACKING_PASSWORD: 'another-password' },
    );
    expect(code, output).toBe(0);
    expect(output.match(/does not accept the credentials/g)).toHaveLength(1);
    expect(output).not.toContain('another-password');
  });
});
