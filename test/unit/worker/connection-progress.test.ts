import dns from 'node:dns';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConnectionProgress } from '../../../worker/connection-progress.ts';
import { fetchDescription } from '../../../worker/dial.ts';
import { Anchor, type Trust } from '../../../worker/trust.ts';
import { listening } from '../../fixtures/listening.ts';

const system: Trust = { kind: 'system' };
const digest: Trust = { kind: 'digest', sha256: '0'.repeat(64) };
const dials = [
  { scheme: 'ws', trust: system },
  { scheme: 'wss', trust: system },
  { scheme: 'wss', trust: digest },
];

/** Dials until the time limit expires. */
async function dial(url: string, trust: Trust, requestLimitMilliseconds: number): Promise<unknown> {
  return fetchDescription({
    version: '0.2.0',
    coordinator: new URL(url),
    anchor: new Anchor(trust),
    token: () => '',
    maxModelBytes: 1e9,
    maxDataBytes: 1e9,
    requestLimitMilliseconds,
    dataLimitMilliseconds: 60_000,
    maxMemoryBytes: 1e9,
    engine: 'reference',
    signal: new AbortController().signal,
  });
}

describe('a worker whose dial takes too long', () => {
  it.each(dials)(
    'over $scheme with $trust.kind says that the name was not resolved',
    async ({ scheme, trust }) => {
      const { lookup } = dns;
      onTestFinished(() => void Object.assign(dns, { lookup }));
      Object.assign(dns, { lookup: () => undefined });
      await expect(dial(`${scheme}://gpu7.example:29400`, trust, 100)).rejects.toMatchObject({
        code: 'UNREACHABLE',
        message: expect.stringContaining('"gpu7.example" was not resolved in time'),
        fix: expect.stringContaining('check the name and DNS'),
      });
    },
  );

  it.each(dials)(
    'over $scheme with $trust.kind says that it was connected',
    async ({ scheme, trust }) => {
      const silent = createServer((socket) => {
        socket.on('error', () => undefined);
        onTestFinished(() => void socket.destroy());
      });
      const port = await listening(silent);
      await expect(dial(`${scheme}://127.0.0.1:${port}`, trust, 2000)).rejects.toMatchObject({
        code: 'UNREACHABLE',
        message: expect.stringContaining('the connection was established'),
        fix: expect.stringContaining(`listens on port ${port} is suspended or busy`),
      });
    },
  );
});

it('a connection waits for its address, its peer and a response, in that order', async () => {
  const server = createServer((socket) => socket.resume());
  const port = await listening(server);
  const progress = new ConnectionProgress(new URL('ws://gpu7.example'));
  const socket = connect({
    host: 'gpu7.example',
    port,
    family: 4,
    lookup: (_name, _options, done) => setImmediate(done, null, '127.0.0.1', 4),
  });
  onTestFinished(() => void socket.destroy());
  progress.watch(socket);
  expect(progress.stage).toBe('lookup');
  await once(socket, 'lookup');
  expect(progress.stage).toBe('acceptance');
  await once(socket, 'connect');
  expect(progress.stage).toBe('response');
  const address = new ConnectionProgress(new URL('ws://[::1]:29400'));
  expect(address.stage).toBe('acceptance');
  address.watch(socket);
  expect(address.stage).toBe('response');
});
