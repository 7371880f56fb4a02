import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  configMapsOf,
  layOut,
  podOf,
  type Container,
  type Stored,
} from '../../fixtures/deploy/container.ts';
import {
  build,
  isInstalled,
  kubernetes,
  nameOf,
  whySkipped,
  type Manifest,
} from '../../fixtures/deploy/kustomize.ts';
import { outsideOf, page } from '../../fixtures/deploy/kubernetes-page.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { freePorts } from '../../fixtures/processes/free-ports.ts';
import { QUICK_RECIPE, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, start, until } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const RECIPE = [...QUICK_RECIPE, '--steps', '3000'];

/**
 * The files that the guide describes: certificates from the real command, tokens like openssl's.
 */
async function makeSecret(): Promise<Stored> {
  const { secret, certificateNames } = outsideOf(page);
  const out = temporaryFolder();
  const { code, output } = await run(['certs', ...certificateNames, '--out', out]);
  expect(code, output).toBe(0);
  const made = secret.keys.map((key) => [
    key,
    key.endsWith('token')
      ? `a-${key}-of-the-tests-0123456789\n`
      : readFileSync(join(out, key), 'utf8'),
  ]);
  return new Map([[`Secret/${secret.name}`, Object.fromEntries(made)]]);
}

function podNamed(
  manifests: readonly Manifest[],
  name: string,
  podName: string,
  stored: Stored,
): Container {
  const job = manifests.find((each) => nameOf(each) === name);
  if (job === undefined) throw new Error(`there is no ${name}`);
  const container = layOut(podOf(job), podName, stored);
  onTestFinished(() => rmSync(container.root, { recursive: true, force: true }));
  return container;
}

/** The status of a path on the page; like a probe, it does not check the certificate. */
async function statusOf(url: string, token?: string): Promise<number | undefined> {
  return await new Promise((resolve) => {
    const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    get(url, { rejectUnauthorized: false, headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).on('error', () => resolve(undefined));
  });
}

it.skipIf(!isInstalled)(`deploy/kubernetes/cpu trains and resumes a run${whySkipped}`, async () => {
  const manifests = build(`${kubernetes}cpu`);
  const stored = new Map([...configMapsOf(manifests), ...(await makeSecret())]);
  const [port, httpPort] = await freePorts(2);
  // The test runs on one machine without service names, with a model that trains quickly.
  const here = (word: string) =>
    word
      .replace('mnist-dist-coordinator:29400', `localhost:${port}`)
      .replace('=0.0.0.0', '=127.0.0.1')
      .replace('=29400', `=${port}`)
      .replace('=9464', `=${httpPort}`)
      .replace('=tensorflow', '=reference');
  const pod = podNamed(manifests, 'Job/mnist-dist-coordinator', 'coordinator', stored);
  const startCoordinator = () => start([...pod.argv().map(here), ...RECIPE], pod.environment);
  const startWorkers = () =>
    ['0', '1'].map((index) => {
      const name = `mnist-dist-workers-${index}-abcde`;
      const { argv, environment } = podNamed(manifests, 'Job/mnist-dist-workers', name, stored);
      return start(argv().map(here), environment);
    });
  const directory = join(pod.root, 'runs', 'mnist-1');
  const watched = `https://127.0.0.1:${httpPort}`;

  const workers = startWorkers();
  const first = startCoordinator();
  await until(() => (stepsWritten(directory) > 100 ? true : undefined), first);
  expect(await statusOf(`${watched}/healthz`)).toBe(200);
  expect(await statusOf(`${watched}/readyz`)).toBe(200);
  expect(await statusOf(`${watched}/metrics`)).toBe(401);
  first.process.kill('SIGTERM');
  await until(
    async () =>
      (await statusOf(`${watched}/metrics`, 'a-http-token-of-the-tests-0123456789')) === 200
        ? true
        : undefined,
    first,
  );
  expect(await first.exited, first.output()).toBe(143);
  // After this code, their Job replaces them without counting a failure.
  for (const worker of workers) expect(await worker.exited, worker.output()).toBe(143);

  const second = startCoordinator();
  expect(pod.argv().slice(0, 4)).toEqual(['coordinator', '--resume', directory, '--take-over']);
  const replaced = startWorkers();
  await second.says(/waiting at most/);
  expect(await statusOf(`${watched}/metrics`, 'a-http-token-of-the-tests-0123456789')).toBe(200);
  expect(await second.exited, second.output()).toBe(0);
  for (const worker of replaced) expect(await worker.exited, worker.output()).toBe(0);
  const training = join(pod.root, 'etc/mnist-dist/training.yaml');
  const config = `--config=${training}`;
  expectSame(readRun(directory), await train([config, ...RECIPE, ...REFERENCE]));

  expect(pod.argv().join(' ')).toMatch(/is finished; to start a new run/);
  appendFileSync(training, "artifacts: 's3://bucket/mnist'\n");
  expect(pod.argv().slice(1)).toEqual(['push', directory, 's3://bucket/mnist']);
});
