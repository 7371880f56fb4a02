import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { WebSocket } from 'ws';
import { supervisedEnvironment } from '../../../cli/processes/signals.ts';
import { decodeFrame, encodeHeader } from '../../../shared/wire/frame.ts';
import { readMetrics } from '../../../shared/files/metrics.ts';
import { PROTOCOL } from '../../../shared/wire/messages.ts';
import { parseRunRecord } from '../../../shared/files/run-schema.ts';
import { readyTensorFlow } from '../../../worker/native/engine-manifest.ts';
import { childrenOf, gone, lives, type Child } from '../../fixtures/processes/children.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { TOKEN } from '../../fixtures/processes/options.ts';
import { executable, start, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { workerSocket } from '../../fixtures/proven-client.ts';
import { engineFixture } from '../../fixtures/engine-identity.ts';
import { ARITHMETIC } from '../../../shared/arithmetic/version.ts';

const ENDLESS = ['--steps', '1000000', '--hidden', '8', '--port', '0', '--run-id', 'r'];
/** How long to wait for children to end; they are expected to end within two seconds. */
const LIMIT_MILLISECONDS = 30_000;

function endWithTest(children: readonly Child[]): void {
  onTestFinished(() => children.filter(lives).forEach(({ pid }) => process.kill(pid, 'SIGKILL')));
}

async function endlessLocal(): Promise<{ local: Started; children: Child[]; directory: string }> {
  const runs = temporaryFolder();
  const local = start(['local', '--engine', 'reference', '--runs-dir', runs, ...ENDLESS]);
  await local.says(/w1 delivered its first shard/);
  const children = childrenOf(local.process.pid);
  endWithTest(children);
  expect(children).toHaveLength(3);
  return { local, children, directory: join(runs, 'r') };
}

/**
 * Expects all files to be complete, except for a torn last line in metrics.jsonl. Returns the run's
 * state.
 */
function checkFiles(directory: string): string {
  expect(readMetrics(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).bad).toBeUndefined();
  for (const line of readFileSync(join(directory, 'events.jsonl'), 'utf8').trimEnd().split('\n'))
    expect(JSON.parse(line)).toHaveProperty('event');
  return parseRunRecord(readFileSync(join(directory, 'run.json'), 'utf8'), 'run.json').state;
}

/**
 * Sends SIGINT until the process has ended, and resolves with its exit code as a shell reports it.
 * The kernel merges signals in quick succession, so the second signal may need several attempts.
 */
async function interrupted({ process: child, exited }: Started): Promise<number | undefined> {
  const again = setInterval(() => child.kill('SIGINT'), 20);
  const code = await exited.finally(() => clearInterval(again));
  // A signal after Node has begun to exit ends the process itself.
  return child.signalCode === 'SIGINT' ? 130 : code;
}

/** Connects a fake worker that never answers. Resolves once the worker has been assigned work. */
async function silentWorker(url: string): Promise<WebSocket> {
  const socket = await workerSocket(url, TOKEN);
  onTestFinished(() => socket.terminate());
  const work = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      if (!Buffer.isBuffer(data)) return;
      const { header } = decodeFrame(data);
      if (
        typeof header === 'object' &&
        header !== null &&
        'kind' in header &&
        header.kind === 'step'
      )
        resolve();
    });
  });
  await once(socket, 'open');
  const versions = { protocol: PROTOCOL, arithmetic: ARITHMETIC, version: '0' };
  socket.send(encodeHeader({ kind: 'hello', ...versions, name: 'silent' }));
  socket.send(encodeHeader({ kind: 'ready', fingerprint: '0'.repeat(64), engine: engineFixture }));
  await work;
  return socket;
}

async function coordinatorWithSilentWorker(): Promise<{
  coordinator: Started;
  worker: WebSocket;
  directory: string;
}> {
  const runs = temporaryFolder();
  // A coordinator that waits for other workers by mistake ends with RENDEZVOUS.
  const args = ['coordinator', '--runs-dir', runs, '--rdzv-timeout', '10s', ...ENDLESS];
  const coordinator = start(args, { MNIST_DIST_TOKEN: TOKEN });
  const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
  return { coordinator, worker: await silentWorker(url), directory: join(runs, 'r') };
}

describe('a coordinator with an open step', () => {
  it('ends immediately when it is stopped twice', async () => {
    const { coordinator, directory } = await coordinatorWithSilentWorker();
    expect(await interrupted(coordinator), coordinator.output()).toBe(130);
    checkFiles(directory);
  });

  it('ends cleanly when SIGTERM is repeated', async () => {
    const { coordinator, worker, directory } = await coordinatorWithSilentWorker();
    let sent = 0;
    // The kernel merges signals in quick succession, but more than one of these arrives.
    const again = setInterval(() => (sent += Number(coordinator.process.kill('SIGTERM'))), 5);
    await until(() => (sent >= 20 ? true : undefined)).finally(() => clearInterval(again));
    worker.terminate();
    expect(await coordinator.exited, coordinator.output()).toBe(143);
    expect(checkFiles(directory)).toBe('interrupted');
  });

  it('ends when it is stopped after its last worker has left', async () => {
    const { coordinator, worker, directory } = await coordinatorWithSilentWorker();
    worker.terminate();
    await coordinator.says(/no worker is left/);
    coordinator.process.kill('SIGINT');
    expect(await coordinator.exited, coordinator.output()).toBe(130);
    expect(checkFiles(directory)).toBe('interrupted');
  });

  it('ends when its last worker leaves after it was stopped', async () => {
    const { coordinator, worker, directory } = await coordinatorWithSilentWorker();
    coordinator.process.kill('SIGINT');
    await coordinator.says(/stopping after step/);
    worker.terminate();
    expect(await coordinator.exited, coordinator.output()).toBe(130);
    expect(checkFiles(directory)).toBe('interrupted');
  });
});

describe('local', () => {
  it('ends its children and the run on SIGTERM', async () => {
    const { local, children, directory } = await endlessLocal();
    local.process.kill('SIGTERM');
    expect(await local.exited, local.output()).toBe(143);
    expect(children.filter(lives)).toEqual([]);
    expect(checkFiles(directory)).toBe('interrupted');
    expect(existsSync(join(directory, 'model.safetensors'))).toBe(true);
  });

  it('ends cleanly when all its processes get SIGTERM', async () => {
    const { local, children, directory } = await endlessLocal();
    for (const { pid } of [...children, { pid: local.process.pid ?? 0 }])
      process.kill(pid, 'SIGTERM');
    expect(await local.exited, local.output()).toBe(143);
    await gone(children);
    expect(checkFiles(directory)).toBe('interrupted');
  });

  it('ends its children when it is stopped twice', async () => {
    const { local, children, directory } = await endlessLocal();
    expect(await interrupted(local), local.output()).toBe(130);
    await gone(children);
    checkFiles(directory);
  });

  it('ends its children when it is stopped while they start', async () => {
    const local = start([
      'local',
      '--engine',
      'reference',
      '--runs-dir',
      temporaryFolder(),
      ...ENDLESS,
    ]);
    const children = await until(() => {
      // Until it execs, a child has its parent's arguments.
      const found = childrenOf(local.process.pid).filter(({ arguments: words }) =>
        /\0(coordinator|worker)\0/.test(words),
      );
      return found.length === 3 ? found : undefined;
    });
    endWithTest(children);
    local.process.kill('SIGINT');
    expect(await local.exited, local.output()).toBe(130);
    expect(children.filter(lives)).toEqual([]);
  });

  it('ends its children and leaves complete files when it is killed', async () => {
    const { local, children, directory } = await endlessLocal();
    local.process.kill('SIGKILL');
    await gone(children);
    // If every worker leaves before the current step is done, the run may not end cleanly in time.
    expect(['interrupted', 'running']).toContain(checkFiles(directory));
  });
});

describe('a supervised worker', () => {
  it('ends if its supervisor ended before the worker began to watch it', async () => {
    const args = [
      'worker',
      '--engine',
      'reference',
      '--coordinator',
      `ws://127.0.0.1:${await freePort()}`,
    ];
    const worker = spawn(process.execPath, [executable, ...args], {
      env: supervisedEnvironment({ ...process.env, MNIST_DIST_TOKEN: TOKEN }),
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    onTestFinished(() => void worker.kill('SIGKILL'));
    let said = '';
    worker.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
    await once(worker, 'spawn');
    worker.disconnect();
    expect(await once(worker, 'exit', { signal: AbortSignal.timeout(LIMIT_MILLISECONDS) })).toEqual(
      [143, null],
    );
    expect(said).toContain("this process's supervisor has ended");
  });
});

describe.each([
  ['reference', false],
  ['tensorflow', readyTensorFlow() === undefined],
])('a worker with the %s engine that is dialling', (engine, isMissing) => {
  async function dialling(): Promise<{ worker: Started; children: Child[] }> {
    const url = `ws://127.0.0.1:${await freePort()}`;
    const worker = start(['worker', '--engine', engine, '--coordinator', url], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    await worker.says(/retrying/);
    const children = childrenOf(worker.process.pid);
    endWithTest(children);
    return { worker, children };
  }

  it.skipIf(isMissing).each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends on %s', async (signal, code) => {
    const { worker, children } = await dialling();
    worker.process.kill(signal);
    expect(await worker.exited, worker.output()).toBe(code);
    await gone(children);
  });

  it.skipIf(isMissing)('ends when all its processes get SIGTERM repeatedly', async () => {
    const { worker, children } = await dialling();
    for (const { pid } of children) process.kill(pid, 'SIGTERM');
    const again = setInterval(() => worker.process.kill('SIGTERM'), 1);
    const code = await worker.exited.finally(() => clearInterval(again));
    // The last signal may have arrived when the worker no longer handled signals.
    expect([143, undefined], worker.output()).toContain(code);
    expect(worker.output()).not.toMatch(/ERR_IPC/);
    await gone(children);
  });

  it.skipIf(isMissing)('leaves no process behind when it is killed', async () => {
    const { worker, children } = await dialling();
    worker.process.kill('SIGKILL');
    await gone(children);
  });
});
