import { fork, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import assert from 'node:assert';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DEFAULT_PORT } from '../../../cli/options/endpoint.ts';
import { datasetDigest } from '../../../shared/dataset/dataset.ts';
import { errorTable } from '../../../shared/errors.ts';
import { concatenate, imagesFile, labelsFile } from '../../fixtures/dataset/idx-files.ts';
import { tinyBytes, tinyFiles } from '../../fixtures/dataset/tiny-dataset.ts';
import { listening } from '../../fixtures/listening.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { executable, follow, run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const TINY = ['--engine', 'reference', '--steps', '12', '--hidden', '4'];
const TOKEN = { MNIST_DIST_TOKEN: 'a-token-of-the-tests-0123456789' };

describe('local', () => {
  it('trains at the same time as other runs, each on its own port', async () => {
    const runs = temporaryFolder();
    const started = await Promise.all(
      ['a', 'b', 'c'].map((id) =>
        run(['local', ...TINY, '-n', '1', '--runs-dir', runs, '--run-id', id]),
      ),
    );
    for (const { code, output } of started) expect(code, output).toBe(0);
    const outputs = started.map(({ output }) => output).join('\n');
    expect(outputs).toMatch(new RegExp(`port ${DEFAULT_PORT} is in use; using port \\d+`));
  });

  it('fails when a given port is in use, and says which port', async () => {
    const port = await listening(createServer());
    const args = ['local', ...TINY, '--runs-dir', temporaryFolder(), '--port', `${port}`];
    const { code, output } = await run(args);
    expect(code, output).toBe(errorTable.ADDRESS.exit);
    expect(output).toContain(`port ${port} on 127.0.0.1 is in use (--port)`);
  });

  it.skipIf(spawnSync('unshare', ['--user', '--net', 'true']).status !== 0)(
    'ends at once if the loopback interface is down, and says so',
    async () => {
      const command = [process.execPath, executable, 'local', ...TINY];
      const args = ['--user', '--net', ...command, ...newRun(temporaryFolder())];
      const local = follow(spawn('unshare', args));
      expect(await local.exited, local.output()).toBe(errorTable.ADDRESS.exit);
      expect(local.output()).toContain('ip link set lo up');
    },
  );

  it.each([
    ['every worker', '', 1, 'w0 ended with exit code 1'],
    ['one worker of two', '--name=w1', 0, 'w1 ended with exit code 1; continuing with 1 worker'],
  ])(
    'does not restart a process that fails in the same way at every start: %s',
    async (_whose, only, expected, said) => {
      const folder = temporaryFolder();
      const script = join(folder, 'fail.cjs');
      writeFileSync(
        script,
        `if (process.argv[2] === 'worker' && process.argv.join(' ').includes('${only}')) ` +
          "throw new Error('a made-up defect');",
      );
      const args = ['local', ...TINY, '-n', '2', ...newRun(join(folder, 'runs'))];
      const { code, output } = await run(args, { NODE_OPTIONS: `--require=${script}` });
      expect(code, output).toBe(expected);
      expect(output).toMatch(/w1 ended with exit code 1 3 times in a row before it was ready/);
      expect(output).toContain(said);
      expect(output).toContain('a made-up defect');
      const wayOn =
        /too few workers are left \(--min-workers 1\); resume the run with: .* local --resume/;
      if (expected === 0) expect(output).not.toMatch(wayOn);
      else expect(output).toMatch(wayOn);
    },
  );

  it('reports a low limit on open files or memory before it starts a process', async () => {
    const local = [
      process.execPath,
      executable,
      'local',
      '--engine',
      'wasm',
      ...newRun(temporaryFolder()),
    ];
    for (const [limit, said] of [
      ['-n 64', /256 open files are needed, but the limit is 64 \(ulimit -n\)/],
      ['-v 8000000', /there is not enough memory: WebAssembly/],
    ] as const) {
      const shell = spawn('bash', ['-c', `ulimit ${limit}; exec "$@"`, 'bash', ...local]);
      const limited = follow(shell);
      expect(await limited.exited, limited.output()).toBe(errorTable.LIMIT.exit);
      expect(limited.output()).toMatch(said);
      expect(limited.output()).not.toMatch(/^ +at /m);
    }
  });

  it('keeps workers without a shard on standby, and warns about them', async () => {
    const runs = temporaryFolder();
    const args = ['local', ...TINY, '-n', '3', '--batch-size', '16', '--virtual-shards', '2'];
    const { code, output } = await run([...args, ...newRun(runs)]);
    expect(code, output).toBe(0);
    expect(output).toMatch(/3 workers, but a batch has 2 shards: 1 stand by \(--virtual-shards\)/);
    const { record } = readRun(join(runs, 'r'));
    expect(record.workers.map(({ samples }) => samples)).toEqual([96, 96]);
  });

  it('finishes even after the reader of its output has closed the pipe', async () => {
    const runs = temporaryFolder();
    const local = start(['local', ...TINY, ...newRun(runs)]);
    local.process.stdout?.destroy();
    expect(await local.exited, local.output()).toBe(0);
    expect(local.output()).toBe('');
    expect(readRun(join(runs, 'r')).record.state).toBe('finished');
  });

  it('refuses a run directory that exists', async () => {
    const runs = temporaryFolder();
    mkdirSync(join(runs, 'r'));
    writeFileSync(join(runs, 'r', 'run.json'), '');
    const args = ['local', ...TINY, ...newRun(runs)];
    const { code, output } = await run(args);
    expect(code, output).toBe(errorTable.RUN_EXISTS.exit);
    expect(output).toMatch(/already exists/);
    expect(readdirSync(join(runs, 'r'))).toEqual(['run.json']);
  });

  it('does not listen to other machines without TLS or --insecure', async () => {
    const { code, output } = await run(['coordinator', '--host', '0.0.0.0', '--port', '0'], TOKEN);
    expect(code, output).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(/--ssl-certfile.*--insecure/);
  });
});

describe('another dataset', () => {
  it('is stored in the cache only once, and reaches workers without a cache', async () => {
    const [data, cache] = [temporaryFolder(), temporaryFolder()];
    const labels = (count: number) => labelsFile(Array.from({ length: count }, (_, i) => i % 10));
    const files = {
      'train-images-idx3-ubyte': imagesFile(100, 5, 4, (i) => (i * 37) % 256),
      'train-labels-idx1-ubyte': labels(100),
      't10k-images-idx3-ubyte': imagesFile(30, 5, 4, (i) => (i * 53) % 256),
      't10k-labels-idx1-ubyte': labels(30),
    };
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(data, name), bytes);
    const digest = datasetDigest(concatenate(Object.values(files)));
    const settings = [...TINY, '--data', data, '-n', '2'];

    const first = await train(settings, { MNIST_DIST_CACHE: cache });
    expect(first.record.dataset).toMatchObject({
      sha256: digest,
      rows: 5,
      columns: 4,
      train_samples: 100,
    });
    expect(readdirSync(join(cache, 'datasets'))).toEqual([digest]);
    const { ino } = statSync(join(cache, 'datasets', digest));

    const second = await train(settings, { MNIST_DIST_CACHE: cache });
    // A dataset that is stored again would be a new file.
    expect(statSync(join(cache, 'datasets', digest)).ino).toBe(ino);
    expect(second.modelSha256).toBe(first.modelSha256);

    const closed = temporaryFolder();
    writeFileSync(join(closed, 'datasets'), 'no folder');
    const third = await train(settings, { MNIST_DIST_CACHE: closed });
    expect(third.modelSha256).toBe(first.modelSha256);
  });

  it('is found in its folder or in the cache when a run resumes, or the run ends', async () => {
    const [runs, cache] = [temporaryFolder(), temporaryFolder()];
    const data = join(runs, '.data');
    mkdirSync(data);
    for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
    const directory = join(runs, 'r');
    const inCache = { MNIST_DIST_CACHE: cache };
    const trained = await run(
      ['local', ...newRun(runs), ...TINY, '-n', '1', '--data', data],
      inCache,
    );
    expect(trained.code, trained.output).toBe(0);
    renameSync(data, `${data}-moved`);
    const quiet = ['-n', '1', '--no-pictures', '--format', 'json'];
    const said = await run(['eval', directory, '--engine', 'reference', ...quiet], inCache);
    expect(said.code, said.output).toBe(0);
    expect(said.output).toMatch(/"samples": 2,/);
    const longer = [
      'local',
      '--resume',
      directory,
      '--steps',
      '20',
      '--port',
      '0',
      '--no-http',
      '-n',
      '1',
    ];
    const lost = await run(longer, { MNIST_DIST_CACHE: temporaryFolder() });
    expect(lost.code, lost.output).toBe(errorTable.DATA.exit);
    const digest = datasetDigest(tinyBytes).slice(0, 16);
    expect(lost.output).toContain(`${digest}, is not available: the data folder ${data} does`);
    const resumed = await run(longer, inCache);
    expect(resumed.code, resumed.output).toBe(0);
    const { record } = readRun(directory);
    expect(record).toMatchObject({
      launch: { data },
      step: 20,
      engine: { description: { kind: 'reference' } },
    });
  });

  it('is rejected if a file is truncated, and the error names the file', async () => {
    const data = temporaryFolder();
    const images = imagesFile(10, 5, 4);
    writeFileSync(join(data, 'train-images-idx3-ubyte'), images.subarray(0, images.length - 1));
    for (const name of ['train-labels-idx1-ubyte', 't10k-labels-idx1-ubyte'])
      writeFileSync(join(data, name), labelsFile([1, 2, 3]));
    writeFileSync(join(data, 't10k-images-idx3-ubyte'), imagesFile(3, 5, 4));
    const args = ['local', ...TINY, ...newRun(temporaryFolder()), '--data', data];
    const { code, output } = await run(args);
    expect(code, output).toBe(errorTable.DATA.exit);
    expect(output).toMatch(/train-images-idx3-ubyte/);
  });
});

describe('workers with different engines', () => {
  it('train with --allow-mixed-engines, and the run is recorded as not reproducible', async () => {
    const runs = temporaryFolder();
    const args = [...newRun(runs), '--hidden', '8', '--steps', '1000000'];
    const coordinator = start(['coordinator', ...args, '--allow-mixed-engines'], TOKEN);
    const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
    for (const [engine, name] of [
      ['reference', 'first'],
      ['wasm', 'second'],
    ] as const) {
      const worker = start(
        ['worker', '--engine', engine, '--name', name, '--coordinator', url],
        TOKEN,
      );
      await Promise.race([
        coordinator.says(new RegExp(`${name} delivered its first shard`)),
        worker.exited.then((code) => expect.fail(`${name} ended with ${code}: ${worker.output()}`)),
      ]);
    }
    expect(coordinator.output()).toMatch(/warning: .*not reproducible/);
    coordinator.process.kill('SIGINT');
    expect(await coordinator.exited, coordinator.output()).toBe(130);
    const record: unknown = JSON.parse(readFileSync(join(runs, 'r', 'run.json'), 'utf8'));
    expect(record).toMatchObject({ state: 'interrupted', engine: { reproducible: false } });
  });
});

describe('a process that another program started with a channel', () => {
  /** Starts a command as pm2 does. */
  function forked(args: readonly string[]) {
    const child = fork(executable, args, {
      env: { ...process.env, ...TOKEN, MNIST_DIST_PICTURES: 'no' },
      silent: true,
    });
    const { stdin, stdout, stderr } = child;
    assert(stdin !== null && stdout !== null && stderr !== null, 'the streams are pipes');
    return follow(Object.assign(child, { stdin, stdout, stderr }));
  }
  const longRun = (runs: string) =>
    ['--hidden', '4', '--steps', '1000000', ...newRun(runs)] as const;

  it('stops on SIGINT with a checkpoint: local', async () => {
    const runs = temporaryFolder();
    const local = forked(['local', '-n', '1', '--engine', 'reference', ...longRun(runs)]);
    await local.says(/w0 delivered its first shard/);
    local.process.kill('SIGINT');
    expect(await local.exited, local.output()).toBe(130);
    expect(readdirSync(join(runs, 'r', 'checkpoints'))).toHaveLength(1);
  });

  it('stops on SIGINT with a checkpoint: coordinator and worker', async () => {
    const runs = temporaryFolder();
    const coordinator = forked(['coordinator', ...longRun(runs)]);
    const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
    const worker = forked(['worker', '--engine', 'reference', '--coordinator', url]);
    await coordinator.says(/delivered its first shard/);
    worker.process.kill('SIGINT');
    expect(await worker.exited, worker.output()).toBe(130);
    coordinator.process.kill('SIGINT');
    expect(await coordinator.exited, coordinator.output()).toBe(130);
    expect(readdirSync(join(runs, 'r', 'checkpoints'))).toHaveLength(1);
  });
});

describe('a worker without a token', () => {
  it('is refused', async () => {
    const args = ['coordinator', '--port', '0', '--runs-dir', temporaryFolder()];
    const coordinator = start(args, TOKEN);
    const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
    const { code, output } = await run(['worker', '--engine', 'reference', '--coordinator', url], {
      MNIST_DIST_CACHE: temporaryFolder(),
    });
    expect(code, output).toBe(errorTable.UNAUTHORIZED.exit);
    expect(output).toMatch(/--token-file/);
    expect(coordinator.process.exitCode).toBeNull();
  });
});

describe('output without a terminal', () => {
  it('has no control characters', async () => {
    const { code, output } = await run(['local', ...TINY, ...newRun(temporaryFolder())]);
    expect(code, output).toBe(0);
    expect(output).not.toMatch(/[^\P{Cc}\n]/u);
  });

  it.each([
    ['a run that finishes', [], 0],
    ['a run that cannot start', ['--run-id', 'taken'], errorTable.RUN_EXISTS.exit],
  ])('is JSON, line by line, with --log-format json: %s', async (_, more, exit) => {
    const runs = temporaryFolder();
    mkdirSync(join(runs, 'taken'));
    writeFileSync(join(runs, 'taken', 'run.json'), '');
    const args = [
      'local',
      ...TINY,
      '--port',
      '0',
      '--runs-dir',
      runs,
      '--log-format',
      'json',
      ...more,
    ];
    const { code, output } = await run(args);
    expect(code, output).toBe(exit);
    const lines = output.trimEnd().split('\n');
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(() => JSON.parse(line), line).not.toThrow();
  });
});
