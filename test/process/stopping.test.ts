import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { decodeFrame, encodeHeader } from '../../shared/frame.ts';
import { readMetrics } from '../../shared/metrics.ts';
import { ARITHMETIC, PROTOCOL } from '../../shared/messages.ts';
import { parseRunRecord } from '../../shared/run-schema.ts';
import { start, temporaryFolder, type Started } from './cluster.ts';

const TOKEN = 'a-token-of-the-tests-0123456789';
const ENDLESS = ['--steps', '1000000', '--hidden', '8', '--port', '0', '--run-id', 'r'];
/** A guard against children that stay; they are expected to end within two seconds. */
const CHILDREN_LIMIT_MILLISECONDS = 30_000;

interface Child {
  readonly pid: number;
  readonly arguments: string;
}

function childrenOf(pid = 0): Child[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  return pids.map((pid) => ({ pid, arguments: readFileSync(`/proc/${pid}/cmdline`, 'utf8') }));
}

/** Whether this very process still runs; a number used again has other arguments, a zombie has none. */
function lives(child: Child): boolean {
  try {
    return readFileSync(`/proc/${child.pid}/cmdline`, 'utf8') === child.arguments;
  } catch {
    return false;
  }
}

async function gone(children: readonly Child[]): Promise<void> {
  const signal = AbortSignal.timeout(CHILDREN_LIMIT_MILLISECONDS);
  while (children.some(lives)) await sleep(20, undefined, { signal });
}

async function endlessLocal(): Promise<{ local: Started; children: Child[]; directory: string }> {
  const runs = temporaryFolder();
  const local = start(['local', '--engine', 'reference', '--runs-dir', runs, ...ENDLESS]);
  await local.says(/w1 delivered its first shard/);
  const children = childrenOf(local.process.pid);
  onTestFinished(() => children.filter(lives).forEach(({ pid }) => process.kill(pid, 'SIGKILL')));
  expect(children).toHaveLength(3);
  return { local, children, directory: join(runs, 'r') };
}

/** All files are whole, but perhaps for a torn last line of metrics.jsonl. */
function checkFiles(directory: string): string {
  expect(readMetrics(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).bad).toBeUndefined();
  for (const line of readFileSync(join(directory, 'events.jsonl'), 'utf8').trimEnd().split('\n'))
    expect(JSON.parse(line)).toHaveProperty('event');
  return parseRunRecord(readFileSync(join(directory, 'run.json'), 'utf8'), 'run.json').state;
}

/** Plays a worker that joins and never answers; resolves once it was given work. */
async function silentWorker(url: string): Promise<void> {
  const socket = new WebSocket(`${url}/worker`, { headers: { Authorization: `Bearer ${TOKEN}` } });
  onTestFinished(() => socket.terminate());
  const work = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      if (!Buffer.isBuffer(data)) return;
      const { header } = decodeFrame(data);
      if (typeof header === 'object' && header !== null && 'kind' in header && header.kind === 'step')
        resolve();
    });
  });
  await once(socket, 'open');
  const versions = { protocol: PROTOCOL, arithmetic: ARITHMETIC, version: '0' };
  const engine = { kind: 'reference', library: 'none', device: 'cpu', processor: 'none', threads: 1 };
  socket.send(encodeHeader({ kind: 'hello', ...versions, name: 'silent' }));
  socket.send(encodeHeader({ kind: 'ready', fingerprint: '0'.repeat(64), engine }));
  await work;
}

describe('stopping', () => {
  it('twice ends a coordinator whose open step would take long', async () => {
    const runs = temporaryFolder();
    const coordinator = start(['coordinator', '--runs-dir', runs, ...ENDLESS], { MNIST_DIST_TOKEN: TOKEN });
    const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
    await silentWorker(url);
    coordinator.process.kill('SIGINT');
    const events = join(runs, 'r', 'events.jsonl');
    const signal = AbortSignal.timeout(CHILDREN_LIMIT_MILLISECONDS);
    while (!readFileSync(events, 'utf8').includes('"stopping"')) await sleep(20, undefined, { signal });
    expect(coordinator.process.exitCode).toBeNull();
    coordinator.process.kill('SIGINT');
    expect(await coordinator.exited, coordinator.output()).toBe(130);
    checkFiles(join(runs, 'r'));
  });

  it('by SIGTERM to local ends its children and the run', async () => {
    const { local, children, directory } = await endlessLocal();
    local.process.kill('SIGTERM');
    expect(await local.exited, local.output()).toBe(143);
    expect(children.filter(lives)).toEqual([]);
    expect(checkFiles(directory)).toBe('interrupted');
    expect(existsSync(join(directory, 'model.safetensors'))).toBe(true);
  });

  it('twice ends local and its children', async () => {
    const { local, children, directory } = await endlessLocal();
    local.process.kill('SIGINT');
    local.process.kill('SIGINT');
    expect(await local.exited, local.output()).toBe(130);
    await gone(children);
    checkFiles(directory);
  });

  it('the supervisor by SIGKILL ends its children and leaves whole files', async () => {
    const { local, children, directory } = await endlessLocal();
    local.process.kill('SIGKILL');
    await gone(children);
    expect(checkFiles(directory)).toBe('interrupted');
  });
});
