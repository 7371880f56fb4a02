import { randomBytes } from 'node:crypto';
import {
  chownSync,
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { composeFile, docker, readCompose } from '../../fixtures/deploy/compose.ts';
import { root } from '../../fixtures/deploy/dockerfile.ts';
import { ask } from '../../fixtures/page-client.ts';
import { executable, run, until } from '../../fixtures/processes/program.ts';
import { missing as noPrometheus } from '../../fixtures/promtool.ts';
import { Podman, type Ended } from './podman.ts';
import { scrapedUp } from './prometheus.ts';

/** A group that no user in the image belongs to. */
const SECRETS_GID = 23_456;
const NETWORK = 'mnist-dist';
const { CONTAINERS_SCRATCH: kept } = process.env;
const scratch = kept ?? mkdtempSync(join(tmpdir(), 'mnist-dist-containers-'));
mkdirSync(scratch, { recursive: true });
const podman = new Podman(scratch);
const folder = join(scratch, 'docker');
const place = { network: NETWORK, folder };

/** The services, with a different name for their run. */
const composed = (runId: string) =>
  readCompose([composeFile(readFileSync(join(folder, 'compose.yaml'), 'utf8'))], {
    SECRETS_GID: String(SECRETS_GID),
    RUN_ID: runId,
  });
const shaOf = ({ output }: Pick<Ended, 'output'>) => /sha256 +([0-9a-f]{64})/.exec(output)?.[1];

/**
 * Writes training.yaml, so that containers and this machine train the same run to the same bytes.
 */
function recipe(steps: number): void {
  writeFileSync(
    join(folder, 'training.yaml'),
    `steps: ${steps}\nbatch-size: 64\ncheckpoint-every: 200\npictures: no\n`,
    {
      mode: 0o644,
    },
  );
}

async function shaOutside(steps: number): Promise<string> {
  recipe(steps);
  const runs = mkdtempSync(join(tmpdir(), 'mnist-dist-outside-'));
  onTestFinished(() => rmSync(runs, { recursive: true, force: true }));
  const ended = await run([
    'local',
    '--config',
    join(folder, 'training.yaml'),
    '--engine',
    'tensorflow',
    '--no-http',
    '--runs-dir',
    runs,
    '--port',
    '0',
  ]);
  expect(ended.code, ended.output).toBe(0);
  return shaOf(ended) ?? '';
}

beforeAll(async () => {
  // An interrupted test may have left containers behind.
  await podman.clear();
  const base = await podman.run(
    'podman',
    'image',
    'exists',
    'docker.io/library/node:22-bookworm-slim',
  );
  if (base.code !== 0)
    await podman.must(join(root, 'test/system/containers/base-image.sh'), scratch);
  await podman.build('mnist-dist:cpu', root);
  await podman.must('podman', 'network', 'create', NETWORK);

  // The commands that docs/deploy/containers.md tells readers to type.
  rmSync(folder, { recursive: true, force: true });
  cpSync(docker, folder, { recursive: true });
  const secrets = join(folder, 'secrets');
  await podman.must(process.execPath, executable, 'certs', 'coordinator', '--out', secrets);
  for (const name of ['token', 'http-token'])
    writeFileSync(join(secrets, name), randomBytes(32).toString('hex'));
  for (const name of ['token', 'http-token', 'ca.crt', 'coordinator.crt', 'coordinator.key']) {
    chmodSync(join(secrets, name), 0o640);
    chownSync(join(secrets, name), 0, SECRETS_GID);
  }
});

afterEach(() => podman.stopAll());

afterAll(async () => {
  await podman.clear();
  if (kept !== undefined) return;
  // podman mounts its storage onto itself.
  await podman.run('umount', '--lazy', join(scratch, 'storage', 'overlay'));
  rmSync(scratch, { recursive: true, force: true });
});

describe('compose.yaml', () => {
  it('trains over TLS to the same bytes as without containers, and is healthy', async () => {
    const sha = await shaOutside(1000);
    const compose = composed('train');
    const { coordinator, worker } = compose.services;
    const certificates = {
      ca: readFileSync(join(folder, 'secrets/ca.crt')),
      servername: 'coordinator',
    };
    const token = readFileSync(join(folder, 'secrets/http-token'), 'utf8');
    await podman.start('coordinator', coordinator, compose, place);
    await until(async () => (await podman.isHealthy('coordinator')) || undefined);
    const port = Number(
      (await podman.must('podman', 'port', 'coordinator', '9464/tcp')).split(':').at(-1),
    );
    expect(await ask(port, '/metrics', certificates)).toMatchObject({ status: 401 });
    const headers = { authorization: `Bearer ${token}` };
    expect(await ask(port, '/metrics', { ...certificates, headers })).toMatchObject({
      status: 200,
    });
    // Probes do not need a token.
    expect(await ask(port, '/readyz', certificates)).toMatchObject({ status: 200 });
    if (noPrometheus === undefined) await scrapedUp(folder, port);

    expect(worker.deploy?.replicas).toBe(2);
    await podman.start('worker-1', worker, compose, place);
    await podman.start('worker-2', worker, compose, place);
    const [head, ...workers] = await Promise.all(
      ['coordinator', 'worker-1', 'worker-2'].map((name) => podman.end(name)),
    );
    expect(head?.code, head?.output).toBe(0);
    for (const { code, output } of workers) expect(code, output).toBe(0);
    expect(head?.output).toContain('2 workers');
    expect(shaOf(head ?? { output: '' })).toBe(sha);

    await podman.must('podman', 'start', 'coordinator');
    const idle = await podman.end('coordinator');
    expect(idle).toMatchObject({
      code: 0,
      output: expect.stringContaining('/runs/train is finished'),
    });
  });

  it('exits with 143 when stopped, and a new container resumes to the same bytes', async () => {
    const sha = await shaOutside(3000);
    const compose = composed('stop');
    // The test itself restarts containers that end.
    const coordinator = { ...compose.services.coordinator, restart: 'no' };
    const worker = { ...compose.services.worker, restart: 'no' };
    await podman.start('coordinator', coordinator, compose, place);
    // worker-1 has Compose's init as process 1; worker-2 is process 1 itself, as in Kubernetes.
    await podman.start('worker-1', worker, compose, place);
    await podman.start('worker-2', { ...worker, init: false }, compose, place);
    const checkpoints = ['exec', 'coordinator', 'ls', '/runs/stop/checkpoints'];
    await until(async () => {
      const { code, output } = await podman.run('podman', ...checkpoints);
      return (code === 0 && output !== '') || undefined;
    });
    const left = await podman.stop('worker-2');
    expect(left.code, left.output).toBe(143);
    const head = await podman.stop('coordinator');
    expect(head.code, head.output).toBe(143);
    expect(shaOf(head)).toBeUndefined();
    // The worker was told how the run ended, and exits with the same code.
    const told = await podman.end('worker-1');
    expect(told.code, told.output).toBe(143);

    await podman.must('podman', 'rm', 'coordinator');
    await podman.start('coordinator', { ...coordinator, init: false }, compose, place);
    await podman.must('podman', 'start', 'worker-1');
    const [again, back] = await Promise.all([podman.end('coordinator'), podman.end('worker-1')]);
    expect(again.code, again.output).toBe(0);
    expect(again.output).toContain('resuming after step');
    expect(shaOf(again)).toBe(sha);
    expect(back.code, back.output).toBe(0);
  });
});

const image = z.tuple([
  z.looseObject({
    Size: z.int(),
    User: z.string(),
    Config: z.looseObject({
      StopSignal: z.string(),
      Entrypoint: z.array(z.string()),
    }),
    Healthcheck: z.looseObject({ Test: z.array(z.string()) }),
  }),
]);

describe('the image', () => {
  it('runs without privileges, a compiler, pip, TypeScript or dev dependencies', async () => {
    const inspected: unknown = JSON.parse(
      await podman.must('podman', 'image', 'inspect', 'mnist-dist:cpu'),
    );
    const [{ User, Config, Healthcheck, Size }] = image.parse(inspected);
    expect(User).toBe('10001:10001');
    expect(Config.StopSignal).toBe('SIGTERM');
    expect(Healthcheck.Test.join(' ')).toContain('healthy.mjs');
    process.stdout.write(`mnist-dist:cpu: ${Math.round(Size / 1e6)} MB\n`);
    const look = (script: string) =>
      podman.must(
        ...(['podman', 'run', '--rm', '--network', 'none', '--no-healthcheck'] as const),
        '--entrypoint',
        'sh',
        'mnist-dist:cpu',
        '-c',
        script,
      );
    const found = await look(
      'for x in g++ gcc cc pip3 python3 curl; do command -v $x; done; id -u',
    );
    expect(found).not.toMatch(/^\//m);
    expect(found.split('\n').at(-1)).toBe('10001');
    const packages = await look(
      'cd /opt/mnist-dist/node_modules && ls -d */package.json @*/*/package.json',
    );
    const has = (name: string) => packages.split('\n').includes(`${name}/package.json`);
    expect(has('ws')).toBe(true);
    const { devDependencies } = z
      .object({ devDependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
    const superfluous = [
      ...Object.keys(devDependencies),
      'typescript',
      'assemblyscript',
      'binaryen',
    ];
    // Some packages depend on type packages, whose files the image omits.
    expect(superfluous.filter((name) => has(name) && !name.startsWith('@types/'))).toEqual([]);
  });

  it('is not healthy if no page responds', async () => {
    await podman.must(
      'podman',
      'run',
      '--detach',
      '--name',
      'idle',
      '--entrypoint',
      'sleep',
      'mnist-dist:cpu',
      '600',
    );
    expect(await podman.isHealthy('idle')).toBe(false);
  });
});

describe('the image for GPUs', () => {
  // The later stages download gigabytes, so they are not built here.
  it('builds up to the download, and set-up finds a driver that the CPU image lacks', async () => {
    await podman.build(
      'mnist-dist:driver-gpu',
      root,
      '--target',
      'driver',
      '--build-arg',
      'DEVICE=gpu',
    );
    await podman.build('mnist-dist:driver-cpu', root, '--target', 'driver');
    const setUp = (tag: string) =>
      podman.run(
        ...([
          'podman',
          'run',
          '--rm',
          '--network',
          'none',
          '--env',
          'MNIST_DIST_CACHE=/tmp/empty',
          tag,
        ] as const),
        'node',
        'bin/mnist-dist.mjs',
        'setup',
        '--gpu',
        '--offline',
      );
    expect(await setUp('mnist-dist:driver-gpu')).toMatchObject({
      code: 10,
      output: expect.stringContaining(
        '--offline: tensorflow-2.21.0-cuda12-x86_64 is not in the cache',
      ),
    });
    expect(await setUp('mnist-dist:driver-cpu')).toMatchObject({
      code: 10,
      output: expect.stringContaining('the NVIDIA driver is missing'),
    });
  });
});
