import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errorTable, type ErrorCode } from '../../../shared/errors.ts';
import { decodeFrame, encodeHeader } from '../../../shared/wire/frame.ts';
import { PROTOCOL } from '../../../shared/wire/messages.ts';
import { parseRunRecord } from '../../../shared/files/run-schema.ts';
import { listening } from '../../fixtures/listening.ts';
import { startCoordinator, startWorker } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { newRun, quickLocal, TOKEN } from '../../fixtures/processes/options.ts';
import { run, start, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { workerSocket } from '../../fixtures/proven-client.ts';
import { ARITHMETIC } from '../../../shared/arithmetic/version.ts';

const QUICK = ['--steps', '20', '--hidden', '8'];

const coordinator = (args: readonly string[] = []) => startCoordinator([...QUICK, ...args]);

function recordOf(runs: string) {
  return parseRunRecord(readFileSync(join(runs, 'r', 'run.json'), 'utf8'), 'run.json');
}

async function expectEnd(process: Started, code: ErrorCode, says: RegExp): Promise<void> {
  expect(await process.exited, process.output()).toBe(errorTable[code].exit);
  expect(process.output()).toMatch(says);
}

describe('a coordinator and workers started by hand', () => {
  it('train together with a token file', async () => {
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    const { process, url, runs } = await coordinator();
    const helper = start([
      'worker',
      '--engine',
      'reference',
      '--coordinator',
      url,
      '--token-file',
      file,
      '--name',
      'by-hand',
    ]);
    expect(await process.exited, process.output()).toBe(0);
    expect(await helper.exited, helper.output()).toBe(0);
    expect(readRun(join(runs, 'r')).record.workers).toEqual([{ name: 'by-hand', samples: 640 }]);
  });

  it('do not use a token file that others can read', async () => {
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, `${TOKEN}\n`);
    chmodSync(file, 0o644);
    for (const command of ['coordinator', 'worker']) {
      const { code, output } = await run([command, '--token-file', file]);
      expect(code, output).toBe(errorTable.USAGE.exit);
      expect(output).toContain(`${file} (--token-file) contains a secret`);
      expect(output).toContain(`chmod 600 ${file}`);
    }
  });

  it('train together when the worker starts first', async () => {
    const port = await freePort();
    const helper = startWorker(`ws://127.0.0.1:${port}`);
    await helper.says(/retrying/);
    const runs = temporaryFolder();
    const late = start(['coordinator', '--port', String(port), '--runs-dir', runs, ...QUICK], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    expect(await late.exited, late.output()).toBe(0);
    expect(await helper.exited, helper.output()).toBe(0);
  });
});

describe('a worker ends with a clear error', () => {
  it('when its token is wrong', async () => {
    const { url } = await coordinator();
    await expectEnd(
      startWorker(url, [], 'another-token-0123456789'),
      'UNAUTHORIZED',
      /rejected this worker's token/,
    );
  });

  it('when no coordinator listens', async () => {
    const port = await freePort();
    await expectEnd(
      startWorker(`ws://127.0.0.1:${port}`, ['--max-wait-time', '1s']),
      'UNREACHABLE',
      /no coordinator answers/,
    );
  });

  it('when the run is full and the worker does not wait', async () => {
    const { url, process } = await coordinator([
      '--min-workers',
      '1',
      '--max-workers',
      '1',
      '--steps',
      '100000',
    ]);
    startWorker(url, ['--name', 'first']);
    await process.says(/first delivered its first shard/);
    await expectEnd(startWorker(url, ['--max-retries', '0']), 'FULL', /--max-workers/);
  });

  it('when its engine computes different bytes', async () => {
    const { url, process } = await coordinator(['--steps', '100000']);
    startWorker(url, ['--name', 'first']);
    await process.says(/first delivered its first shard/);
    const other = start(['worker', '--engine', 'wasm', '--coordinator', url], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    await expectEnd(
      other,
      'FINGERPRINT',
      /this worker computes with .*wasm.* the run with .*float64/,
    );
  });

  it.each([
    ['protocol', { protocol: 99, arithmetic: ARITHMETIC }],
    ['arithmetic', { protocol: PROTOCOL, arithmetic: 99 }],
  ])('when its %s version differs', async (_, versions) => {
    const { url, process } = await coordinator();
    const socket = await workerSocket(url, TOKEN);
    onTestFinished(() => socket.terminate());
    await once(socket, 'open');
    socket.send(encodeHeader({ kind: 'hello', ...versions, version: '9', name: 'future' }));
    const headers: unknown[] = [];
    socket.on('message', (data) => {
      if (Buffer.isBuffer(data)) headers.push(decodeFrame(data).header);
    });
    const [code] = await once(socket, 'close');
    expect(code).toBe(errorTable.VERSION.close);
    expect(headers).toMatchObject([{ kind: 'bye', code: 'VERSION' }]);
    expect(process.process.exitCode).toBeNull();
  });
});

describe('a coordinator ends with a clear error', () => {
  it('when its run already exists', async () => {
    const { runs } = await coordinator();
    const { code, output } = await run(['coordinator', ...newRun(runs)], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    expect(code).toBe(errorTable.RUN_EXISTS.exit);
    expect(output).toMatch(/already exists/);
  });

  it('when its port is in use, and leaves no run behind', async () => {
    const port = await listening(createServer());
    const runs = temporaryFolder();
    const { code, output } = await run([
      'local',
      '--engine',
      'reference',
      '--port',
      String(port),
      '--runs-dir',
      runs,
      '--run-id',
      'r',
    ]);
    expect(code, output).toBe(errorTable.ADDRESS.exit);
    expect(output).toMatch(/in use/);
    expect(existsSync(join(runs, 'r'))).toBe(false);
  });

  it('when Node has no WebAssembly, once and not at each restart', async () => {
    const local = [...quickLocal(temporaryFolder()), '--steps', '5', '--no-http'];
    const { code, output } = await run(local, { NODE_OPTIONS: '--jitless' });
    expect(code, output).toBeGreaterThan(1);
    expect(output).toContain('--jitless');
    expect(output).not.toMatch(/restarting it|\n {4}at /);
  });

  it('when it cannot write the join file', async () => {
    const { process, runs } = await coordinator([]);
    process.process.kill('SIGINT');
    await expectEnd(process, 'INTERRUPTED', /mnist-dist: /);
    mkdirSync(join(runs, 'r', 'join'));
    const again = await run(['coordinator', '--resume', join(runs, 'r'), '--port', '0'], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    expect(again.code, again.output).toBe(errorTable.DISK.exit);
    expect(again.output).toContain(`${join(runs, 'r', 'join')} could not be written`);
    expect(recordOf(runs).state).toBe('interrupted');
  });

  it('when no worker joins within --rdzv-timeout', async () => {
    const { process, runs } = await coordinator(['--rdzv-timeout', '1s']);
    await expectEnd(process, 'RENDEZVOUS', /too few workers: 0 ready within .*, at least 1 needed/);
    expect(process.output()).toContain(`coordinator --resume ${join(runs, 'r')}`);
    expect(recordOf(runs)).toMatchObject({ state: 'failed', error: { code: 'RENDEZVOUS' } });
  });

  it('when other machines can reach its address and it has no TLS', async () => {
    const { code, output } = await run(['coordinator', '--host', '0.0.0.0'], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    expect(code).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(/--insecure/);
  });
});

describe('a run that is stopped', () => {
  it.each([
    ['SIGINT', 'INTERRUPTED'],
    ['SIGTERM', 'TERMINATED'],
  ] as const)('by %s ends cleanly', async (signal, code) => {
    const { process, url, runs } = await coordinator(['--steps', '100000']);
    const helper = startWorker(url, ['--name', 'first']);
    await process.says(/first delivered its first shard/);
    process.process.kill(signal);
    await expectEnd(process, code, /mnist-dist: /);
    expect(process.output()).toMatch(
      new RegExp(`resume it with: .*mnist-dist\\S* coordinator --resume ${join(runs, 'r')}`),
    );
    expect(await helper.exited).toBe(errorTable[code].exit);
    const { record, lines } = readRun(join(runs, 'r'));
    expect(record).toMatchObject({
      state: 'interrupted',
      step: lines.filter(({ kind }) => kind === 'step').length,
    });
  });

  it('in local ends its workers as well', async () => {
    const runs = temporaryFolder();
    const args = ['--engine', 'reference', '--hidden', '8', '--steps', '1000000', ...newRun(runs)];
    const local = start(['local', ...args]);
    await local.says(/w1 delivered its first shard/);
    const children = readFileSync(
      `/proc/${local.process.pid}/task/${local.process.pid}/children`,
      'utf8',
    )
      .trim()
      .split(' ');
    expect(children).toHaveLength(3);
    local.process.kill('SIGINT');
    expect(await local.exited, local.output()).toBe(130);
    expect(local.output()).toMatch(
      new RegExp(`resume it with: .*mnist-dist\\S* local --resume ${join(runs, 'r')}`),
    );
    expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(recordOf(runs).state).toBe('interrupted');
  });
});
